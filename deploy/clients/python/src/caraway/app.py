"""An application: the tasks that it declares, and where they are submitted."""

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from ._client import AsyncCaraway, Caraway, default, default_async
from ._ids import new_id
from ._options import Options, Retry, Wanted
from ._work import submit, task_result
from .canvas import Signature
from .result import AsyncResult
from .task import AsyncTask, Task

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["App", "Retry"]


class App:
    """Declares tasks with `@app.task`, and submits them. Server and key come from the environment where they are not given."""

    def __init__(self, name: str = "", *, url: str | None = None, key: str | None = None) -> None:
        self.name = name
        self.tasks: dict[str, Task[..., Any] | AsyncTask[..., Any]] = {}
        self._url = url
        self._key = key
        self._client: Caraway | None = None
        self._async_client: AsyncCaraway | None = None

    @property
    def client(self) -> Caraway:
        """The client for threads, made at first use."""
        if self._client is None:
            self._client = Caraway(self._url, self._key) if self._url or self._key else default()
        return self._client

    @property
    def async_client(self) -> AsyncCaraway:
        """The client for asyncio, made at first use."""
        if self._async_client is None:
            self._async_client = AsyncCaraway(self._url, self._key) if self._url or self._key else default_async()
        return self._async_client

    @overload
    def task(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: "Callable[P, Coroutine[Any, Any, R]]", /
    ) -> "AsyncTask[P, R]": ...
    @overload
    def task(self, function: "Callable[P, R]", /) -> "Task[P, R]": ...
    @overload
    def task(self, /, *, name: str | None = None, **options: "Unpack[Options]") -> "_Declare": ...

    def task(self, function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
        """Declares a task. It is called `<module>.<function>` unless a name is given."""
        declare: Any = _Declare(self, name, cast(Options, options))
        return declare if function is None else declare(function)

    async def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Submits a task by its name, and what it returned."""
        call = Signature[Any](self, Wanted(name, args, kwargs))._call(new_id())  # pyright: ignore[reportPrivateUsage]
        document = await self.async_client.run(submit(call))
        return await self.async_client.run(task_result(document["id"], None))

    def send_task(
        self,
        name: str,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: "Unpack[Options]",
    ) -> AsyncResult[Any]:
        """Submits a task that is declared elsewhere, by its name."""
        wanted = Wanted(name, tuple(args), kwargs or {}, options)
        return Signature[Any](self, wanted).apply_async(idempotency_key)

    def signature(self, name: str, args: Iterable[Any] = (), kwargs: dict[str, Any] | None = None) -> Signature[Any]:
        """A task that is declared elsewhere, with its arguments."""
        return Signature(self, Wanted(name, tuple(args), kwargs or {}))

    def AsyncResult(self, task_id: str) -> AsyncResult[Any]:
        """The handle of a task by its id, as Celery spells it."""
        return AsyncResult(task_id, self)

    def __repr__(self) -> str:
        return f"<caraway.App {self.name!r} with {len(self.tasks)} tasks>"


class _Declare:
    """`@app.task(…)`: waits for the function."""

    def __init__(self, app: App, name: str | None, options: Options) -> None:
        self._app = app
        self._name = name
        self._options = options

    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: "Callable[P, Coroutine[Any, Any, R]]", /
    ) -> "AsyncTask[P, R]": ...
    @overload
    def __call__(self, function: "Callable[P, R]", /) -> "Task[P, R]": ...

    def __call__(self, function: Any, /) -> Any:
        name = self._name or f"{function.__module__}.{function.__qualname__}"
        kind: Any = AsyncTask if inspect.iscoroutinefunction(function) else Task
        task = kind(self._app, function, name, self._options)
        self._app.tasks[name] = task
        return task


_default: App | None = None


def default_app() -> App:
    """For what has no app of its own."""
    global _default
    _default = _default or App()
    return _default
