"""Must-show 3: 200 processes by fork, spawn and forkserver share one client object's name, and nothing else."""

import multiprocessing
import os
import unittest
from typing import Any

from caraway import queue as shared_queue
from caraway import threading as shared
from caraway._client import default

from . import name

# At once; more come as others end.
AT_ONCE = 20
PROCESSES = 200


def work(what: str, lock: "shared.Lock | None", path: str) -> None:
    """Takes the lock, and adds one to a file that has no other protection; then an item, which it finishes."""
    with lock or shared.Lock(what):
        with open(path) as file:
            count = int(file.read())
        with open(path, "w") as file:
            file.write(str(count + 1))
    items: shared_queue.Queue[int] = shared_queue.Queue(what)
    number = items.get(timeout=60)
    with open(f"{path}.items", "a") as file:
        file.write(f"{number}\n")
    items.task_done()


class Processes(unittest.TestCase):
    def _run(self, context: Any, inherit: bool) -> None:
        import tempfile

        what = name(context.get_start_method())
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, "count")
            with open(path, "w") as file:
                file.write("0")
            items: shared_queue.Queue[int] = shared_queue.Queue(what)
            lock = shared.Lock(what, client=default())
            with lock:  # so that children of a fork have a used client, with sockets and a lease that is not theirs
                running: list[Any] = []
                for number in range(PROCESSES):
                    items.put(number)
            for _ in range(PROCESSES):
                if len(running) >= AT_ONCE:
                    self._join(running.pop(0))
                process = context.Process(target=work, args=(what, lock if inherit else None, path))
                process.start()
                running.append(process)
            for process in running:
                self._join(process)
            with open(path) as file:
                self.assertEqual(int(file.read()), PROCESSES, "nobody held the lock beside another")
            with open(f"{path}.items") as file:
                self.assertEqual(sorted(int(line) for line in file), list(range(PROCESSES)), "each item went to one process")
            items.join()
            self.assertFalse(lock.locked())

    def _join(self, process: Any) -> None:
        process.join(120)
        self.assertEqual(process.exitcode, 0)

    def test_fork(self) -> None:
        self._run(multiprocessing.get_context("fork"), inherit=True)

    def test_forkserver(self) -> None:
        self._run(multiprocessing.get_context("forkserver"), inherit=False)

    def test_spawn(self) -> None:
        self._run(multiprocessing.get_context("spawn"), inherit=False)


class Sockets(unittest.TestCase):
    def test_a_child_has_no_socket_of_its_parent(self) -> None:
        client = default()
        shared.Event(name("sockets")).is_set()
        before = _sockets()
        self.assertTrue(before)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, repr(_sockets()).encode())
            shared.Event(name("sockets"), client=client).set()
            os._exit(0)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(os.read(read, 1000), b"set()", "the sockets of the pool are closed in the child")
        self.assertEqual(_sockets(), before, "and go on in the parent")
        shared.Event(name("sockets")).is_set()
        self.assertEqual(_sockets(), before)
        os.close(read)
        os.close(write)


    def test_a_child_of_a_loop_has_none_either(self) -> None:
        import asyncio

        from caraway import asyncio as awaited

        async def run() -> None:
            event = awaited.Event(name("sockets"))
            waiting = asyncio.create_task(event.wait())  # its connection is lent when the child is made
            await event.is_set()
            before = _sockets()
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(write, repr(_sockets()).encode())
                os._exit(0)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(os.read(read, 1000), b"set()")
            self.assertEqual(_sockets(), before)
            await event.set()
            self.assertTrue(await waiting)
            os.close(read)
            os.close(write)

        asyncio.run(run())


def _sockets() -> set[str]:
    """Those to the server."""
    from urllib.parse import urlsplit

    port = f":{urlsplit(os.environ['CARAWAY_URL']).port or 80:04X}"
    with open("/proc/self/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    to_server = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(port)}
    found: set[str] = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass  # that of the listing itself
    return found & to_server


