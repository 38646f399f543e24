"""`multiprocessing.Queue`, across processes of any hosts: at most once, as Python's. Values must be JSON, or have a codec."""

from queue import Empty, Full
from threading import get_ident
from typing import TypeVar

from . import queue as _queue
from ._client import Caraway, default
from ._items import Items
from .codec import Codec, Json

__all__ = ["Empty", "Full", "JoinableQueue", "Queue"]

T = TypeVar("T")


class Queue(_queue._Base[T]):
    """First in, first out. An item is done with when it is fetched."""

    def __init__(self, name: str, maxsize: int = 0, *, codec: Codec | None = None, client: Caraway | None = None) -> None:
        self._client = client or default()
        self._items = Items(name, "fifo", maxsize, self._client, codec or Json(), get_ident, manual=False)

    def full(self) -> bool:
        """Whether as many are ready as may be."""
        return 0 < self._items.maxsize <= self.qsize()

    def close(self) -> None:
        """Nothing: there is no feeder thread, `put` has put it in when it returns."""

    def join_thread(self) -> None:
        """Nothing, as there is no feeder thread."""

    def cancel_join_thread(self) -> None:
        """Nothing, as there is no feeder thread."""


class JoinableQueue(_queue.Queue[T]):
    """With `task_done` and `join`: at least once."""
