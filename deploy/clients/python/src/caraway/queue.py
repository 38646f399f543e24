"""`queue`'s classes, across processes and hosts. The name comes first; else they are used as Python's are.

An item is leased to whoever gets it, and comes again unless `task_done` tells that it is done with.
"""

from queue import Empty, Full
from threading import get_ident
from typing import Any, Generic, TypeVar

from ._client import Caraway, default
from ._items import DEFAULT_TTL, Items
from ._shutdown import ShutDown
from .codec import Codec, Json

__all__ = ["Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "ShutDown", "SimpleQueue"]

T = TypeVar("T")


def _wait(block: bool, timeout: float | None) -> float | None:
    """As the steps understand it: None for ever, 0 not at all."""
    if not block:
        return 0
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return None if timeout is None else max(timeout, 1e-9)


class _Base(Generic[T]):
    _client: Caraway
    _items: Items

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Puts it in. Full, if there is no room in time."""
        self._client.run(self._items.put(item, _wait(block, timeout)))

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Takes one. Empty, if there is none in time."""
        item: T = self._client.run(self._items.get(_wait(block, timeout)))
        return item

    def put_nowait(self, item: T) -> None:
        """Puts it in, or raises Full."""
        self.put(item, False)

    def get_nowait(self) -> T:
        """Takes one, or raises Empty."""
        return self.get(False)

    def qsize(self) -> int:
        """How many are ready to be taken."""
        return int(self._counts()["ready"])

    def empty(self) -> bool:
        """Whether none is."""
        return self.qsize() == 0

    def _counts(self) -> dict[str, Any]:
        return self._client.run(self._items.counts())

    @property
    def name(self) -> str:
        """Its name, which all processes share."""
        return self._items.name

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self.name!r} at {id(self):#x}>"


class Queue(_Base[T]):
    """First in, first out; at least once. `maxsize` bounds what is ready, for all who use it."""

    _order = "fifo"

    def __init__(
        self,
        name: str,
        maxsize: int = 0,
        *,
        ttl: float = DEFAULT_TTL,
        codec: Codec | None = None,
        client: Caraway | None = None,
    ) -> None:
        self._client = client or default()
        self._items = Items(name, self._order, maxsize, self._client, codec or Json(), get_ident, ttl)

    @property
    def maxsize(self) -> int:
        """How many may be ready; 0 is any number."""
        return self._items.maxsize

    @maxsize.setter
    def maxsize(self, maxsize: int) -> None:
        self._client.run(self._items.resize(maxsize))

    def full(self) -> bool:
        """Whether as many are ready as may be."""
        return 0 < self.maxsize <= self.qsize()

    def task_done(self) -> None:
        """The oldest item that this thread has taken is done with, and does not come again."""
        self._client.run(self._items.done())

    def join(self) -> None:
        """Waits until every item that was put in is done with."""
        self._client.run(self._items.join())

    def shutdown(self, immediate: bool = False) -> None:
        """It takes no more, and gives what is left; with `immediate` it drops that."""
        self._client.run(self._items.shut_down(immediate))

    @property
    def is_shutdown(self) -> bool:
        """Whether it takes no more."""
        return bool(self._counts()["shut_down"])

    @property
    def unfinished_tasks(self) -> int:
        """How many are in it, or taken and not done with."""
        return int(self._counts()["unfinished"])


class LifoQueue(Queue[T]):
    """Last in, first out."""

    _order = "lifo"


class PriorityQueue(Queue[T]):
    """The lowest first: numbers, strings of up to six bytes, or tuples that begin with one. Equals leave as they came."""

    _order = "priority"


class SimpleQueue(_Base[T]):
    """Without bound and without `task_done`: at most once, as Python's."""

    def __init__(self, name: str, *, codec: Codec | None = None, client: Caraway | None = None) -> None:
        self._client = client or default()
        self._items = Items(name, "fifo", 0, self._client, codec or Json(), get_ident, manual=False)
