"""CPython's own tests of `queue`, on ours. Only the classes under test are replaced."""

import unittest

from test import test_queue  # type: ignore[import-untyped]

from caraway import queue as shared
from caraway._keeper import keeper

from .names import Module, fresh, mark_skips

QUEUES = Module(
    shared,
    Queue=fresh(shared.Queue),
    LifoQueue=fresh(shared.LifoQueue),
    PriorityQueue=fresh(shared.PriorityQueue),
    SimpleQueue=fresh(shared.SimpleQueue),
)


def setUpModule() -> None:
    keeper.start()


class QueueTest(test_queue.QueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = QUEUES


class LifoQueueTest(test_queue.LifoQueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = QUEUES


class PriorityQueueTest(test_queue.PriorityQueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = QUEUES


class SimpleQueueTest(test_queue.BaseSimpleQueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = QUEUES
    type2test = staticmethod(QUEUES.SimpleQueue)


mark_skips(globals())
