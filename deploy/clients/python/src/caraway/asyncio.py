"""`asyncio`'s locks and queues, across processes and hosts. The name comes first.

What waits is awaited, as in Python. What Python has as a plain function and needs a request here, such as `Event.set`, begins
at once and in the order of the program; await it to know that it is done. What tells a state, such as `is_set`, must be.
"""

import asyncio as _asyncio
import queue as _queue
import sys
from asyncio import QueueEmpty, QueueFull
from collections.abc import Callable, Hashable
from threading import BrokenBarrierError as _Broken
from types import TracebackType
from typing import Any, Generic, TypeVar

from ._client import AsyncCaraway, default_async
from ._condition import Waiters
from ._flag import Flag
from ._items import Items
from ._mutex import DEFAULT_TTL, LockView, Mutex, Reentrant
from ._party import Party
from ._permits import Permits
from ._shutdown import ShutDown as QueueShutDown
from ._started import Order, Started
from .codec import Codec, Json

if sys.version_info >= (3, 11):
    from asyncio import BrokenBarrierError
else:
    BrokenBarrierError = _Broken

__all__ = [
    "Barrier", "BoundedSemaphore", "BrokenBarrierError", "Condition", "Event", "LifoQueue", "Lock", "PriorityQueue", "Queue",
    "QueueEmpty", "QueueFull", "QueueShutDown", "RLock", "Semaphore",
]  # fmt: skip

T = TypeVar("T")
_AnyLock = TypeVar("_AnyLock", bound="_Lock")
_AnySemaphore = TypeVar("_AnySemaphore", bound="Semaphore")


def _me() -> Hashable:
    """The task that asks."""
    try:
        return _asyncio.current_task()
    except RuntimeError:
        return None


class _Lock(LockView):
    _order: Order
    _mutex: Mutex

    async def acquire(self) -> bool:
        """True, when it is acquired. A task that is cancelled leaves the line."""
        return await self._order.run(self._mutex.acquire(None))

    def release(self) -> Started[None]:
        """Gives it back. Awaited, it raises LeaseLost if it was not held until now."""
        return self._order.start(self._mutex.release())

    def locked(self) -> Started[bool]:
        """Whether anybody holds it, on any host."""
        return self._order.start(self._mutex.locked())

    async def __aenter__(self: _AnyLock) -> _AnyLock:
        await self.acquire()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._order.run(self._mutex.release(failing=kind is not None))


class Lock(_Lock):
    """A lock that one task of all processes holds. It ends `ttl` seconds after its process has died or was frozen."""

    def __init__(self, name: str, *, ttl: float = DEFAULT_TTL, strict: bool = True, client: AsyncCaraway | None = None) -> None:
        client = client or default_async()
        self._order = Order(client)
        self._mutex = Mutex(name, client, ttl, strict, _me)


class RLock(_Lock):
    """A lock that its task may acquire again. asyncio has none; it is here because `threading` has one."""

    def __init__(self, name: str, *, ttl: float = DEFAULT_TTL, strict: bool = True, client: AsyncCaraway | None = None) -> None:
        client = client or default_async()
        self._order = Order(client)
        self._mutex = Reentrant(name, client, ttl, strict, _me)


class Condition:
    """A condition, with a lock of the same name or the lock that is given."""

    def __init__(
        self,
        name: str,
        lock: Lock | RLock | None = None,
        *,
        ttl: float = DEFAULT_TTL,
        client: AsyncCaraway | None = None,
    ) -> None:
        self._lock: _Lock = lock or Lock(name, ttl=ttl, client=client)
        self._order = self._lock._order
        self._waiters = Waiters(name, self._lock._mutex)
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        self.locked = self._lock.locked

    async def wait(self) -> bool:
        """Gives the lock back, waits to be notified, and has it again. So it has when it is cancelled."""
        return await self._order.run(self._waiters.wait(None))

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Waits until the predicate is true."""
        while not (result := predicate()):
            await self.wait()
        return result

    def notify(self, n: int = 1) -> Started[None]:
        """Wakes so many, if so many wait."""
        return self._order.start(self._waiters.notify(n))

    def notify_all(self) -> Started[None]:
        """Wakes all who wait."""
        return self._order.start(self._waiters.notify_all())

    async def __aenter__(self) -> "Condition":
        await self._lock.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._lock.__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<caraway.asyncio.Condition({self._lock!r})>"


class Semaphore:
    """So many permits for all processes. Those of a process that died are back after `ttl` seconds."""

    def __init__(
        self,
        name: str,
        value: int = 1,
        *,
        ttl: float = DEFAULT_TTL,
        strict: bool = True,
        client: AsyncCaraway | None = None,
    ) -> None:
        client = client or default_async()
        self._order = Order(client)
        self._permits = Permits(name, value, client, ttl, strict, _me)

    async def acquire(self) -> bool:
        """True, when there is a permit."""
        return await self._order.run(self._permits.acquire(None))

    def release(self) -> Started[None]:
        """Gives one back, this task's first."""
        return self._order.start(self._permits.release())

    def locked(self) -> Started[bool]:
        """Whether somebody who came now would wait."""
        return self._order.start(self._permits.locked())

    async def __aenter__(self: _AnySemaphore) -> _AnySemaphore:
        await self.acquire()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._order.run(self._permits.release(failing=kind is not None))

    def __repr__(self) -> str:
        kind = type(self)
        permits = self._permits
        return f"<{kind.__module__}.{kind.__qualname__} {permits.name!r} at {id(self):#x}: {len(permits.held)}/{permits.value} held here>"


class BoundedSemaphore(Semaphore):
    """The same: a semaphore of Caraway is always bounded."""


class Event:
    """A flag for all processes."""

    def __init__(self, name: str, *, client: AsyncCaraway | None = None) -> None:
        client = client or default_async()
        self._order = Order(client)
        self._flag = Flag(name, client)

    def is_set(self) -> Started[bool]:
        """Whether it is set."""
        return self._order.start(self._flag.is_set())

    def set(self) -> Started[None]:
        """Sets it, and wakes all who wait."""
        return self._order.start(self._flag.set())

    def clear(self) -> Started[None]:
        """Clears it."""
        return self._order.start(self._flag.clear())

    async def wait(self) -> bool:
        """True, when it is set."""
        return await self._order.run(self._flag.wait(None))

    def __repr__(self) -> str:
        return f"<caraway.asyncio.Event {self._flag.name!r} at {id(self):#x}>"


class Barrier:
    """So many parties of all processes wait for each other."""

    def __init__(self, name: str, parties: int, *, client: AsyncCaraway | None = None) -> None:
        self._client = client or default_async()
        self._party = Party(name, parties, None, self._client)

    async def wait(self) -> int:
        """Which of the parties this was, from 0."""
        try:
            return await self._client.run(self._party.wait(None))
        except _Broken as error:
            raise BrokenBarrierError(str(error)) from error

    async def reset(self) -> None:
        """Empties it, and mends it. Who waits gets BrokenBarrierError."""
        await self._client.run(self._party.reset())

    async def abort(self) -> None:
        """Breaks it, until it is reset."""
        await self._client.run(self._party.abort())

    @property
    def parties(self) -> int:
        """How many open it."""
        return self._party.parties

    async def state(self) -> tuple[int, bool]:
        """How many wait now, and whether it is broken."""
        return await self._client.run(self._party.state())

    async def __aenter__(self) -> int:
        return await self.wait()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __repr__(self) -> str:
        return f"<caraway.asyncio.Barrier {self._party.name!r} at {id(self):#x}: {self.parties} parties>"


class Queue(Generic[T]):
    """First in, first out; at least once: an item that is not done with comes again."""

    _sorted = "fifo"

    def __init__(
        self,
        name: str,
        maxsize: int = 0,
        *,
        ttl: float = DEFAULT_TTL,
        codec: Codec | None = None,
        client: AsyncCaraway | None = None,
    ) -> None:
        client = client or default_async()
        self._order = Order(client)
        self._items = Items(name, self._sorted, maxsize, client, codec or Json(), _me, ttl)

    async def put(self, item: T) -> None:
        """Puts it in, when there is room."""
        await self._order.run(self._items.put(item, None))

    async def get(self) -> T:
        """Takes one, when there is one."""
        item: T = await self._order.run(self._items.get(None))
        return item

    async def put_nowait(self, item: T) -> None:
        """Puts it in, or raises QueueFull."""
        try:
            await self._order.run(self._items.put(item, 0))
        except _queue.Full:
            raise QueueFull from None

    async def get_nowait(self) -> T:
        """Takes one, or raises QueueEmpty."""
        try:
            item: T = await self._order.run(self._items.get(0))
        except _queue.Empty:
            raise QueueEmpty from None
        return item

    def task_done(self) -> Started[None]:
        """The oldest item that this task has taken is done with, and does not come again."""
        return self._order.start(self._items.done())

    async def join(self) -> None:
        """Waits until every item that was put in is done with."""
        await self._order.run(self._items.join())

    async def qsize(self) -> int:
        """How many are ready to be taken."""
        return int((await self._counts())["ready"])

    async def empty(self) -> bool:
        """Whether none is."""
        return await self.qsize() == 0

    async def full(self) -> bool:
        """Whether as many are ready as may be."""
        return 0 < self.maxsize <= await self.qsize()

    def shutdown(self, immediate: bool = False) -> Started[None]:
        """It takes no more, and gives what is left; with `immediate` it drops that."""
        return self._order.start(self._items.shut_down(immediate))

    async def _counts(self) -> dict[str, Any]:
        return await self._order.run(self._items.counts())

    @property
    def maxsize(self) -> int:
        """How many may be ready; 0 is any number."""
        return self._items.maxsize

    @property
    def name(self) -> str:
        """Its name, which all processes share."""
        return self._items.name

    def __repr__(self) -> str:
        return f"<caraway.asyncio.{type(self).__qualname__} {self.name!r} at {id(self):#x}>"


class LifoQueue(Queue[T]):
    """Last in, first out."""

    _sorted = "lifo"


class PriorityQueue(Queue[T]):
    """The lowest first: numbers, strings of up to six bytes, or tuples that begin with one. Equals leave as they came."""

    _sorted = "priority"
