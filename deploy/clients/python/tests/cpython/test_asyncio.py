"""CPython's own tests of `asyncio`'s locks and queues, on ours.

What Python has as a plain function is run to its end here, as these tests expect, by the blocking driver; what waits is awaited.
A turn of the loop, `sleep(0)`, lasts as long as a request takes.
"""

import asyncio
import queue
import unittest
from typing import Any

from test.test_asyncio import test_locks, test_queues  # type: ignore[import-untyped]

from caraway import asyncio as shared
from caraway._client import default
from caraway._keeper import keeper

from .names import Module, fresh, mark_skips

TURN = 0.1
STEP = 0.01


def now(steps: Any) -> Any:
    """Runs steps to their end, without the loop."""
    return default().run(steps)


class SyncLock:
    _mutex: Any

    def release(self) -> None:
        now(self._mutex.release())

    def locked(self) -> bool:
        return bool(now(self._mutex.locked()))


class Lock(SyncLock, shared.Lock):  # type: ignore[misc]
    pass


class Condition(shared.Condition):
    def __init__(self, name: str, lock: Any = None) -> None:
        super().__init__(name, lock or Lock(name))

    def notify(self, n: int = 1) -> None:  # type: ignore[override]
        now(self._waiters.notify(n))

    def notify_all(self) -> None:  # type: ignore[override]
        now(self._waiters.notify_all())


class SyncSemaphore:
    _permits: Any

    def release(self) -> None:
        now(self._permits.release())

    def locked(self) -> bool:
        return bool(now(self._permits.locked()))


class Semaphore(SyncSemaphore, shared.Semaphore):  # type: ignore[misc]
    pass


class BoundedSemaphore(SyncSemaphore, shared.BoundedSemaphore):  # type: ignore[misc]
    pass


class Event(shared.Event):
    def is_set(self) -> bool:  # type: ignore[override]
        return bool(now(self._flag.is_set()))

    def set(self) -> None:  # type: ignore[override]
        now(self._flag.set())

    def clear(self) -> None:  # type: ignore[override]
        now(self._flag.clear())


class Barrier(shared.Barrier):
    @property
    def n_waiting(self) -> int:
        return int(now(self._party.state())[0])

    @property
    def broken(self) -> bool:
        return bool(now(self._party.state())[1])


class SyncQueue:
    _items: Any
    maxsize: int

    def put_nowait(self, item: Any) -> None:
        try:
            now(self._items.put(item, 0))
        except queue.Full:
            raise asyncio.QueueFull from None

    def get_nowait(self) -> Any:
        try:
            return now(self._items.get(0))
        except queue.Empty:
            raise asyncio.QueueEmpty from None

    def task_done(self) -> None:
        now(self._items.done())

    def qsize(self) -> int:
        return int(now(self._items.counts())["ready"])

    def empty(self) -> bool:
        return self.qsize() == 0

    def full(self) -> bool:
        return 0 < self.maxsize <= self.qsize()

    def shutdown(self, immediate: bool = False) -> None:
        now(self._items.shut_down(immediate))


class Queue(SyncQueue, shared.Queue[Any]):  # type: ignore[misc]
    pass


class LifoQueue(SyncQueue, shared.LifoQueue[Any]):  # type: ignore[misc]
    pass


class PriorityQueue(SyncQueue, shared.PriorityQueue[Any]):  # type: ignore[misc]
    pass


async def sleep(seconds: float, result: Any = None) -> Any:
    """A turn is as long as a request."""
    return await asyncio.sleep(max(seconds, TURN), result)


class Starts:
    """Tasks that are made in one turn begin one after the other: requests that leave at one moment have no order."""

    _next = 0.0

    def create_task(self, steps: Any, **named: Any) -> "asyncio.Task[Any]":
        now_at = asyncio.get_running_loop().time()
        wait = max(0.0, self._next - now_at)
        self._next = now_at + wait + STEP
        return asyncio.create_task(self._begin(steps, wait) if wait else steps, **named)

    async def _begin(self, steps: Any, wait: float) -> Any:
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            steps.close()
            raise
        return await steps


KINDS = (Lock, Condition, Semaphore, BoundedSemaphore, Event, Barrier, Queue, LifoQueue, PriorityQueue)
FAKE = Module(asyncio, sleep=sleep, create_task=Starts().create_task, **{kind.__name__: fresh(kind) for kind in KINDS})
test_locks.asyncio = FAKE
test_queues.asyncio = FAKE


def setUpModule() -> None:
    keeper.start()


class AsyncLockTests(test_locks.LockTests):  # type: ignore[misc]
    pass


class AsyncEventTests(test_locks.EventTests):  # type: ignore[misc]
    pass


class AsyncConditionTests(test_locks.ConditionTests):  # type: ignore[misc]
    pass


class AsyncSemaphoreTests(test_locks.SemaphoreTests):  # type: ignore[misc]
    pass


class AsyncBarrierTests(test_locks.BarrierTests):  # type: ignore[misc]
    pass


class QueueBasicTests(test_queues.QueueBasicTests):  # type: ignore[misc]
    pass


class QueueGetTests(test_queues.QueueGetTests):  # type: ignore[misc]
    pass


class QueuePutTests(test_queues.QueuePutTests):  # type: ignore[misc]
    pass


class LifoQueueTests(test_queues.LifoQueueTests):  # type: ignore[misc]
    pass


class PriorityQueueTests(test_queues.PriorityQueueTests):  # type: ignore[misc]
    pass


class QueueJoinTests(test_queues._QueueJoinTestMixin, unittest.IsolatedAsyncioTestCase):  # type: ignore[misc]
    q_class = staticmethod(FAKE.Queue)


class LifoQueueJoinTests(QueueJoinTests):
    q_class = staticmethod(FAKE.LifoQueue)


class PriorityQueueJoinTests(QueueJoinTests):
    q_class = staticmethod(FAKE.PriorityQueue)


# Theirs are inherited from the one that is marked.
mark_skips(globals())
