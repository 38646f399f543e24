"""Leases: renewed while their process lives, lost when it is frozen, given back when it ends, not inherited by a child."""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest

from caraway import LeaseLost, _api
from caraway import threading as shared
from caraway._client import default
from caraway._keeper import keeper
from caraway.asyncio import Lock as AsyncLock
from caraway.queue import Queue

from . import name, until

FROZEN = """
import os, sys
from caraway import LeaseLost, threading
lock = threading.Lock(sys.argv[1], ttl=1)
lock.acquire()
print(lock.fence, flush=True)
sys.stdin.readline()
print("lost" if lock.lost.is_set() else "held", flush=True)
try:
    lock.__exit__(None, None, None)
    print("left", flush=True)
except LeaseLost:
    print("LeaseLost", flush=True)
"""


class Fenced:
    """What is written to, as COORDINATION.md tells to write it: it refuses a fence below one that it has seen."""

    def __init__(self) -> None:
        self.seen = 0
        self.content = ""

    def write(self, fence: int, content: str) -> bool:
        if fence < self.seen:
            return False
        self.seen, self.content = fence, content
        return True


class Leases(unittest.TestCase):
    def test_it_is_renewed(self) -> None:
        lock = shared.Lock(name("renewed"), ttl=1)
        with lock:
            fence = lock.fence
            time.sleep(2.5)  # the time that a lease without a keeper would not survive
            self.assertFalse(lock.lost.is_set())
            self.assertEqual(default().call(_api.get_lock(lock.name)).json()["holders"][0]["fence"], str(fence))
        self.assertFalse(lock.locked())

    def test_a_frozen_holder_knows_that_it_lost(self) -> None:
        """Must-show 4: `lost` is set when it wakes, `__exit__` raises, and its old fence is below the new one."""
        what = name("frozen")
        pipe = subprocess.PIPE
        holder = subprocess.Popen([sys.executable, "-c", FROZEN, what], stdin=pipe, stdout=pipe, text=True)
        assert holder.stdin and holder.stdout
        old = int(holder.stdout.readline())
        holder.send_signal(signal.SIGSTOP)
        lock = shared.Lock(what, ttl=5)
        try:
            self.assertTrue(lock.acquire(timeout=10), "the next one has it when the time is over")
            disk = Fenced()
            self.assertTrue(disk.write(lock.fence, "new"))
            self.assertFalse(disk.write(old, "late"), "the late write is refused")
        finally:
            holder.send_signal(signal.SIGCONT)
        said = holder.communicate("\n", timeout=10)[0].split()
        self.assertEqual(said, ["lost", "LeaseLost"])
        self.assertFalse(lock.lost.is_set())
        lock.release()

    def test_a_lost_lock_does_not_hide_an_exception(self) -> None:
        lock = shared.Lock(name("hides"), ttl=1)
        with self.assertRaises(ZeroDivisionError), lock:
            default().call(_api.break_lock(lock.name, {"fence": str(lock.fence)}))
            raise ZeroDivisionError
        with self.assertRaises(LeaseLost), lock:
            default().call(_api.break_lock(lock.name, {"fence": str(lock.fence)}))

    def test_what_is_collected_is_given_back(self) -> None:
        what = name("collected")
        lock = shared.Lock(what)
        lock.acquire()
        del lock
        self.assertTrue(shared.Lock(what).acquire(timeout=5))

    def test_what_a_process_held_is_given_back_at_its_end(self) -> None:
        what = name("ended")
        program = f"from caraway import threading; threading.Lock({what!r}, ttl=600).acquire(); threading.Semaphore({what!r}).acquire()"
        subprocess.run([sys.executable, "-c", program], check=True)
        self.assertTrue(shared.Lock(what).acquire(timeout=2))

    def test_a_child_does_not_inherit(self) -> None:
        lock = shared.Lock(name("inherited"), ttl=1)
        with lock:
            child = os.fork()
            if child == 0:
                time.sleep(0.5)
                try:
                    lock.release()
                except RuntimeError:
                    pass  # as it should
                else:
                    os._exit(2)
                os._exit(1 if lock.acquire(blocking=False) else 0)
            time.sleep(1.5)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertFalse(lock.lost.is_set())

    def test_a_child_ends_nothing_of_its_parent(self) -> None:
        permits, items = shared.Semaphore(name("inherited")), Queue[int](name("inherited"))
        items.put(1)
        items.get()
        permits.acquire()
        child = os.fork()
        if child == 0:
            del permits
            with self.assertRaises(ValueError):
                items.task_done()
            del items
            shared.Event(name("other")).set()  # so that a keeper could run
            keeper.start()
            time.sleep(1.5)  # longer than a keeper waits before it gives back what was collected
            os._exit(0)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertFalse(permits.acquire(blocking=False))
        self.assertEqual(items.unfinished_tasks, 1)
        items.task_done()
        permits.release()

    def test_a_reentrant_lock_is_one_for_all_objects_of_its_name(self) -> None:
        what = name("tree")
        with shared.RLock(what), shared.RLock(what) as inner:
            other = threading.Thread(target=lambda: self.assertFalse(shared.RLock(what).acquire(False)))
            other.start()
            other.join()
            self.assertTrue(inner.locked())
        self.assertFalse(shared.RLock(what).locked())


class Interrupted(unittest.IsolatedAsyncioTestCase):
    async def test_a_cancelled_waiter_leaves_the_line(self) -> None:
        import asyncio

        what = name("cancelled")
        lock = AsyncLock(what)
        async with lock:
            waiter = asyncio.create_task(AsyncLock(what).acquire())
            client = default()
            until_async = asyncio.get_running_loop().run_in_executor
            await until_async(None, lambda: until(lambda: client.call(_api.get_lock(what)).json()["waiting"] == 1))
            waiter.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waiter
            self.assertEqual(client.call(_api.get_lock(what)).json()["waiting"], 0)
        self.assertFalse(await lock.locked())
