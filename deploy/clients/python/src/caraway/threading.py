"""`threading`'s locks and kin, across processes and hosts. The name comes first; else they are used as Python's are.

What is not shared between processes, such as `Thread`, is Python's own.
"""

from collections.abc import Callable
from threading import (
    TIMEOUT_MAX,
    BrokenBarrierError,
    Thread,
    Timer,
    active_count,
    current_thread,
    enumerate,
    excepthook,
    get_ident,
    get_native_id,
    local,
    main_thread,
    settrace,
    stack_size,
)
from types import TracebackType
from typing import TypeVar

from ._client import Caraway, default
from ._condition import Waiters
from ._flag import Flag
from ._line import Deadline
from ._mutex import DEFAULT_TTL, LockView, Mutex, Reentrant
from ._party import Party
from ._permits import Permits

__all__ = [
    "TIMEOUT_MAX", "Barrier", "BoundedSemaphore", "BrokenBarrierError", "Condition", "Event", "Lock", "RLock", "Semaphore", "Thread",
    "Timer", "active_count", "current_thread", "enumerate", "excepthook", "get_ident", "get_native_id", "local", "main_thread",
    "settrace", "stack_size",
]  # fmt: skip

T = TypeVar("T")
_AnyLock = TypeVar("_AnyLock", bound="_Lock")
_AnySemaphore = TypeVar("_AnySemaphore", bound="Semaphore")


def _timeout(blocking: bool, timeout: float) -> float | None:
    """As the steps understand it: None for ever, 0 not at all."""
    if not blocking:
        if timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        return 0
    if timeout == -1:
        return None
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return timeout or 1e-9


class _Lock(LockView):
    _client: Caraway
    _mutex: Mutex

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Whether it was acquired; for ever, where nothing is said."""
        return self._client.run(self._mutex.acquire(_timeout(blocking, timeout)))

    def release(self) -> None:
        """Gives it back. LeaseLost, a RuntimeError, if it was not held until now."""
        self._client.run(self._mutex.release())

    def locked(self) -> bool:
        """Whether anybody holds it, on any host."""
        return self._client.run(self._mutex.locked())

    def __enter__(self: _AnyLock) -> _AnyLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.run(self._mutex.release(failing=kind is not None))


class Lock(_Lock):
    """A lock that one thread of all processes holds. It ends `ttl` seconds after its process has died or was frozen.

    With `strict=False` a lease that was lost is logged at its release, and not raised.
    """

    def __init__(self, name: str, *, ttl: float = DEFAULT_TTL, strict: bool = True, client: Caraway | None = None) -> None:
        self._client = client or default()
        self._mutex = Mutex(name, self._client, ttl, strict, get_ident)


class RLock(_Lock):
    """A lock that its thread may acquire again, also by another object of the same name."""

    def __init__(self, name: str, *, ttl: float = DEFAULT_TTL, strict: bool = True, client: Caraway | None = None) -> None:
        self._client = client or default()
        self._mutex = Reentrant(name, self._client, ttl, strict, get_ident)


class Condition:
    """A condition, with a re-entrant lock of the same name or the lock that is given.

    The lock that `wait` returns with has a new fence: look at what you wait for again, in a loop or with `wait_for`.
    """

    def __init__(
        self,
        name: str,
        lock: Lock | RLock | None = None,
        *,
        ttl: float = DEFAULT_TTL,
        client: Caraway | None = None,
    ) -> None:
        self._lock: _Lock = lock or RLock(name, ttl=ttl, client=client)
        self._client = self._lock._client
        self._waiters = Waiters(name, self._lock._mutex)
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def wait(self, timeout: float | None = None) -> bool:
        """Gives the lock back, waits to be notified, and has it again. False if the time was over first."""
        return self._client.run(self._waiters.wait(timeout if timeout is None else max(timeout, 0.0)))

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Waits until the predicate is true, or the time is over; what it said last."""
        deadline = Deadline(timeout)
        while not (result := predicate()):
            if deadline.over():
                break
            self.wait(deadline.left())
        return result

    def notify(self, n: int = 1) -> None:
        """Wakes so many, if so many wait."""
        self._client.run(self._waiters.notify(n))

    def notify_all(self) -> None:
        """Wakes all who wait."""
        self._client.run(self._waiters.notify_all())

    def __enter__(self) -> "Condition":
        self._lock.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<caraway.threading.Condition({self._lock!r})>"


class Semaphore:
    """So many permits for all processes. Those of a process that died are back after `ttl` seconds.

    More cannot be released than this object has acquired.
    """

    def __init__(
        self,
        name: str,
        value: int = 1,
        *,
        ttl: float = DEFAULT_TTL,
        strict: bool = True,
        client: Caraway | None = None,
    ) -> None:
        self._client = client or default()
        self._permits = Permits(name, value, self._client, ttl, strict, get_ident)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Whether there was a permit; it waits for ever, where nothing is said."""
        if not blocking and timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        wait = None if timeout is None else max(timeout, 1e-9)
        return self._client.run(self._permits.acquire(wait if blocking else 0))

    def release(self, n: int = 1) -> None:
        """Gives so many permits back, this thread's first."""
        self._client.run(self._permits.release(n))

    def __enter__(self: _AnySemaphore) -> _AnySemaphore:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.run(self._permits.release(failing=kind is not None))

    def __repr__(self) -> str:
        kind = type(self)
        permits = self._permits
        return f"<{kind.__module__}.{kind.__qualname__} {permits.name!r} at {id(self):#x}: {len(permits.held)}/{permits.value} held here>"


class BoundedSemaphore(Semaphore):
    """The same: a semaphore of Caraway is always bounded."""


class Event:
    """A flag for all processes."""

    def __init__(self, name: str, *, client: Caraway | None = None) -> None:
        self._client = client or default()
        self._flag = Flag(name, self._client)

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._client.run(self._flag.is_set())

    def set(self) -> None:
        """Sets it, and wakes all who wait."""
        self._client.run(self._flag.set())

    def clear(self) -> None:
        """Clears it."""
        self._client.run(self._flag.clear())

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it was set before the time was over, also if it is clear again."""
        return self._client.run(self._flag.wait(timeout))

    def __repr__(self) -> str:
        return f"<caraway.threading.Event {self._flag.name!r} at {id(self):#x}>"


class Barrier:
    """So many parties of all processes wait for each other."""

    def __init__(
        self,
        name: str,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        client: Caraway | None = None,
    ) -> None:
        if action is not None:
            raise NotImplementedError("no action: it would have to run before anybody is let go, whatever becomes of its process")
        self._client = client or default()
        self._party = Party(name, parties, timeout, self._client)

    def wait(self, timeout: float | None = None) -> int:
        """Which of the parties this was, from 0. BrokenBarrierError for all if the time is over first."""
        return self._client.run(self._party.wait(timeout))

    def reset(self) -> None:
        """Empties it, and mends it. Who waits gets BrokenBarrierError."""
        self._client.run(self._party.reset())

    def abort(self) -> None:
        """Breaks it, until it is reset."""
        self._client.run(self._party.abort())

    @property
    def parties(self) -> int:
        """How many open it."""
        return self._party.parties

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return self._client.run(self._party.state())[0]

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._client.run(self._party.state())[1]

    def __repr__(self) -> str:
        return f"<caraway.threading.Barrier {self._party.name!r} at {id(self):#x}: {self.parties} parties>"
