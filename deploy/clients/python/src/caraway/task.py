"""A task as it is declared: a function that can be called here, and submitted to workers."""

from collections.abc import Callable, Coroutine, Iterable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from ._options import Options, Wanted
from .canvas import Mapped, Signature
from .result import AsyncResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .app import App

P = ParamSpec("P")
R = TypeVar("R")


class Declared(Generic[P, R]):
    """What is the same whether the function is a coroutine function or not."""

    def __init__(self, app: "App", function: Callable[..., Any], name: str, options: Options) -> None:
        self.app = app
        self.function = function
        self.name = name
        self.options = options
        update_wrapper(cast(Any, self), function)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Submits it with these arguments, and waits until it can no longer be lost: a few milliseconds."""
        return self.s(*args, **kwargs).delay()

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Submits it with these arguments, awaited."""
        return await self.s(*args, **kwargs).adelay()

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: "Unpack[Options]",
    ) -> AsyncResult[R]:
        """Submits it with these arguments and options."""
        return self._signature(tuple(args), kwargs or {}).set(**options).apply_async(idempotency_key)

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """The task with these arguments, to be submitted later or with others. In a chain the result before comes first."""
        return self._signature(args, kwargs)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """As `s`; in a chain it does not get the result before."""
        signature = self._signature(args, kwargs)
        signature.immutable = True
        return signature

    def map(self, items: Iterable[Any], *, chunk: int | None = None, return_exceptions: bool = False) -> Mapped[R]:
        """One task for each item, as its first argument."""
        return Mapped(self.app, Wanted(self.name, options=self.options), items, chunk, return_exceptions)

    def _signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature[R]:
        return Signature(self.app, Wanted(self.name, args, kwargs, self.options))

    def __repr__(self) -> str:
        return f"<caraway task {self.name}>"


class Task(Declared[P, R]):
    """A task of a plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, here."""
        return cast(R, self.function(*args, **kwargs))


class AsyncTask(Declared[P, R]):
    """A task of a coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Calls the function, here."""
        return cast("Coroutine[Any, Any, R]", self.function(*args, **kwargs))
