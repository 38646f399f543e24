"""Celery's words for tasks that belong together: `group`, `chain`, `chord`, and `gather` for asyncio.

Each becomes one workflow of the server, accepted whole or not at all; no result passes through this process.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _api
from ._call import Call, Steps
from ._ids import new_id
from ._options import Options, Wanted
from ._work import submit, workflow_results
from .result import AsyncResult, GroupResult, WorkflowResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .app import App

R = TypeVar("R")
S = TypeVar("S")


class Signature(Generic[R]):
    """A task with its arguments, not submitted yet."""

    def __init__(self, app: "App", wanted: Wanted, immutable: bool = False) -> None:
        self.app = app
        self.wanted = wanted
        # In a chain it does not get the result of the step before.
        self.immutable = immutable

    def set(self, **options: "Unpack[Options]") -> "Signature[R]":
        """The same with other options."""
        merged = cast(Options, {**self.wanted.options, **options})
        return Signature(self.app, replace(self.wanted, options=merged), self.immutable)

    def delay(self) -> AsyncResult[R]:
        """Submits it."""
        return self.apply_async()

    async def adelay(self) -> AsyncResult[R]:
        """Submits it, awaited."""
        call = self._call(None)
        return AsyncResult((await self.app.async_client.run(submit(call)))["id"], self.app)

    def apply_async(self, idempotency_key: str | None = None) -> AsyncResult[R]:
        """Submits it. With a key of yours it is done once, however often and from wherever it is submitted."""
        call = self._call(idempotency_key)
        return AsyncResult(self.app.client.run(submit(call))["id"], self.app)

    def _call(self, key: str | None) -> Call:
        return _api.submit_task(cast(Any, self.wanted.document()), idempotency_key=key or new_id())

    def __or__(self, other: "Signature[S]") -> "chain[S]":
        return chain(self, other)

    def __repr__(self) -> str:
        wanted = self.wanted
        arguments = [repr(one) for one in wanted.args] + [f"{name}={value!r}" for name, value in wanted.kwargs.items()]
        return f"{wanted.name}({', '.join(arguments)})"


class _Workflow(Generic[R]):
    _app: "App"

    def _call(self, key: str) -> Call:
        raise NotImplementedError

    def _handle(self, workflow_id: str) -> WorkflowResult[R]:
        return WorkflowResult(workflow_id, self._app)

    def delay(self) -> WorkflowResult[R]:
        """Submits all of it."""
        return self._handle(self._app.client.run(submit(self._call(new_id())))["id"])

    apply_async = delay

    async def adelay(self) -> WorkflowResult[R]:
        """Submits all of it, awaited."""
        return self._handle((await self._app.async_client.run(submit(self._call(new_id()))))["id"])


class chain(_Workflow[R]):
    """One after the other; each gets the result of the one before as its first argument."""

    def __init__(self, *steps: Signature[Any]) -> None:
        if not steps:
            raise ValueError("a chain has at least one step")
        self.steps = steps
        self._app = steps[0].app

    def __or__(self, other: Signature[S]) -> "chain[S]":
        return chain(*self.steps, other)

    def _call(self, key: str) -> Call:
        steps = [{"task": step.wanted.document(), "immutable": step.immutable} for step in self.steps]
        return _api.submit_chain(cast(Any, {"steps": steps}), idempotency_key=key)


class group(_Workflow[list[R]]):
    """Beside each other. The first failure cancels the others, unless `return_exceptions`."""

    def __init__(
        self,
        *tasks: Signature[R] | Iterable[Signature[R]],
        return_exceptions: bool = False,
        max_in_flight: int | None = None,
    ) -> None:
        self.tasks = _all(tasks)
        self.return_exceptions = return_exceptions
        self.max_in_flight = max_in_flight
        self._app = _app_of(self.tasks)

    def __or__(self, body: Signature[S]) -> "Chord[S]":
        return Chord(self, body)

    def document(self) -> dict[str, Any]:
        """As the API takes it."""
        document: dict[str, Any] = {"tasks": [one.wanted.document() for one in self.tasks], "return_exceptions": self.return_exceptions}
        if self.max_in_flight is not None:
            document["max_in_flight"] = self.max_in_flight
        return document

    def _call(self, key: str) -> Call:
        return _api.submit_group(cast(Any, self.document()), idempotency_key=key)

    def _handle(self, workflow_id: str) -> GroupResult[R]:
        return GroupResult(workflow_id, self._app)

    def delay(self) -> GroupResult[R]:
        """Submits all of it."""
        return cast("GroupResult[R]", super().delay())

    apply_async = delay

    async def adelay(self) -> GroupResult[R]:
        """Submits all of it, awaited."""
        return cast("GroupResult[R]", await super().adelay())


class Chord(_Workflow[R]):
    """A group, and a task that gets the list of its results."""

    def __init__(self, header: group[Any], body: Signature[R]) -> None:
        self.header = header
        self.body = body
        self._app = body.app

    def _call(self, key: str) -> Call:
        return _api.submit_chord(cast(Any, {**self.header.document(), "body": self.body.wanted.document()}), idempotency_key=key)


class chord:
    """As Celery has it: `chord(header)(body)` submits, `chord(header, body)` waits for `.delay()`."""

    def __new__(cls, header: Iterable[Signature[Any]] | group[Any], body: Signature[R] | None = None) -> Any:
        """A Chord; without a body, something that is called with one."""
        tasks = header if isinstance(header, group) else group(header)
        if body is not None:
            return Chord(tasks, body)

        def with_body(body: Signature[S]) -> WorkflowResult[S]:
            return Chord(tasks, body).delay()

        return with_body


class Mapped(_Workflow[list[R]]):
    """One task for each item, or for each `chunk` of them."""

    def __init__(self, app: "App", wanted: Wanted, items: Iterable[Any], chunk: int | None, return_exceptions: bool) -> None:
        self._app = app
        self._body: dict[str, Any] = {"task": wanted.document(), "items": list(items), "return_exceptions": return_exceptions}
        if chunk is not None:
            self._body["chunk"] = chunk

    def _call(self, key: str) -> Call:
        return _api.submit_map(cast(Any, self._body), idempotency_key=key)

    def _handle(self, workflow_id: str) -> GroupResult[R]:
        return GroupResult(workflow_id, self._app)

    def delay(self) -> GroupResult[R]:
        """Submits all of it."""
        return cast("GroupResult[R]", super().delay())

    async def adelay(self) -> GroupResult[R]:
        """Submits all of it, awaited."""
        return cast("GroupResult[R]", await super().adelay())


async def gather(*tasks: Signature[Any], return_exceptions: bool = False) -> list[Any]:
    """As `asyncio.gather`, on workers: results in order. Cancelled, it cancels what it has submitted."""
    if not tasks:
        return []
    together = group(*tasks, return_exceptions=return_exceptions)
    client = tasks[0].app.async_client
    return await client.run(_gathered(together))


def _gathered(together: group[Any]) -> Steps[list[Any]]:
    from ._line import leave

    document = yield from submit(together._call(new_id()))  # pyright: ignore[reportPrivateUsage]
    try:
        return (yield from workflow_results(document["id"], None))
    except (GeneratorExit, Exception):
        raise
    except BaseException:
        yield from leave(_api.cancel_workflow(document["id"]))
        raise


def _all(tasks: tuple[Signature[R] | Iterable[Signature[R]], ...]) -> list[Signature[R]]:
    found: list[Signature[R]] = []
    for one in tasks:
        found.extend([one] if isinstance(one, Signature) else one)
    return found


def _app_of(tasks: list[Signature[R]]) -> "App":
    if tasks:
        return tasks[0].app
    from .app import default_app

    return default_app()
