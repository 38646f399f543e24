"""CPython's own tests of `threading`'s locks, on ours. Only the classes under test are replaced."""

import threading
import time
import unittest

from test import lock_tests  # type: ignore[import-untyped]

from caraway import threading as shared
from caraway._keeper import keeper

from .names import Module, fresh, mark_skips

Lock = fresh(shared.Lock)
RLock = fresh(shared.RLock)

# A request takes longer than CPython's own lock.
lock_tests.wait_threads_blocked = lambda threads: time.sleep(0.05 * threads)
lock_tests.threading = Module(threading, Lock=Lock, RLock=RLock)


def setUpModule() -> None:
    # The tests count threads, and the keeper's is none of theirs.
    keeper.start()


class LockTests(lock_tests.LockTests):  # type: ignore[misc]
    locktype = staticmethod(Lock)


class RLockTests(lock_tests.RLockTests):  # type: ignore[misc]
    locktype = staticmethod(RLock)


class EventTests(lock_tests.EventTests):  # type: ignore[misc]
    eventtype = staticmethod(fresh(shared.Event))


class ConditionTests(lock_tests.ConditionTests):  # type: ignore[misc]
    condtype = staticmethod(fresh(shared.Condition))


class SemaphoreTests(lock_tests.SemaphoreTests):  # type: ignore[misc]
    semtype = staticmethod(fresh(shared.Semaphore))


class BoundedSemaphoreTests(lock_tests.BoundedSemaphoreTests):  # type: ignore[misc]
    semtype = staticmethod(fresh(shared.BoundedSemaphore))


class BarrierTests(lock_tests.BarrierTests):  # type: ignore[misc]
    barriertype = staticmethod(fresh(shared.Barrier))


mark_skips(globals())


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    return tests
