"""What asyncio has as plain functions and needs a request here: it begins at once, and may be awaited."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

from ._call import Steps
from ._client import AsyncCaraway

T = TypeVar("T")


class Started(Awaitable[T], Generic[T]):
    """Under way. `await` it to know that it is done, and what came of it; an error that nobody awaits is logged by asyncio."""

    def __init__(self, task: "asyncio.Task[T] | None", done: T | None = None) -> None:
        self._task = task
        self._done = done

    def __await__(self) -> Generator[Any, Any, T]:
        if self._task is None:
            return self._done  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
        return (yield from asyncio.shield(self._task).__await__())

    def __bool__(self) -> bool:
        raise TypeError("this needs a request: await it, then ask whether it is true")


class Order:
    """The operations that one object has started run one after the other, in the order of the program."""

    def __init__(self, client: AsyncCaraway) -> None:
        self._client = client
        self._last: asyncio.Task[Any] | None = None

    def start(self, steps: Steps[T]) -> Started[T]:
        """What needs no request is done now, and raised now; the rest begins."""
        try:
            first = next(steps)
        except StopIteration as end:
            return Started(None, end.value)
        before, loop = self._last, asyncio.get_running_loop()

        async def run() -> T:
            if before is not None and not before.done() and before.get_loop() is loop:
                await asyncio.wait({before})
            return await self._client.run(steps, first)

        task = loop.create_task(run())
        self._last = task
        task.add_done_callback(self._forget)
        return Started(task)

    async def run(self, steps: Steps[T]) -> T:
        """After what has been started."""
        if self._last is not None and self._last.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({self._last})
        return await self._client.run(steps)

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        if self._last is task:
            self._last = None
