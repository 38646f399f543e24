"""`asyncio.timeout` for Python 3.10, as far as it is needed here."""

import asyncio
from types import TracebackType


class timeout:
    """Cancels what runs inside when the time is over, and raises `asyncio.TimeoutError` then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._fired = False
        self._handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "timeout":
        task = asyncio.current_task()
        assert task is not None
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._fire, task)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._fired and kind is asyncio.CancelledError:
            raise asyncio.TimeoutError from error

    def _fire(self, task: "asyncio.Task[object]") -> None:
        self._fired = True
        task.cancel()
