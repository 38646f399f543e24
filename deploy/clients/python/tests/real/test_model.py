"""Must-show 5: random operations beside a model, while a proxy cuts connections before and after the server has the request, and
while servers are killed.

Each thread has objects of its own, so the model knows every answer; all threads share the client, its pool and the keeper. A
request that was repeated and done twice shows up as an item too many, a permit too few, a task that ran twice.
"""

import itertools
import os
import queue
import random
import subprocess
import threading
import time
import unittest
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caraway import App, Caraway, _api
from caraway import queue as shared_queue
from caraway import threading as shared

from . import name
from .proxy import Cutting

# What is killed, one after the other.
TURNS = ("api-1", "redis", "api-1", "postgres")
OPERATIONS = int(os.environ.get("CARAWAY_MODEL_OPERATIONS", "2000"))
THREADS = 8
DEV = Path(__file__).resolve().parents[4] / "dev"
# Of a piece of a connection, either way, to be its last one.
CHANCE = 0.03


class Model:
    """One thread's objects, and what they must answer."""

    def __init__(self, client: Caraway, seed: int) -> None:
        self.random = random.Random(seed)
        self.client = client
        self.done: Counter[str] = Counter()
        self.lock = shared.Lock(name("model"), client=client)
        self.other = shared.Lock(self.lock.name, client=client)
        self.held = False
        self.fence = 0
        self.semaphore = shared.Semaphore(name("model"), 3, client=client)
        self.permits = 0
        self.event = shared.Event(name("model"), client=client)
        self.set = False
        self.items: shared_queue.Queue[int] = shared_queue.Queue(name("model"), 5, client=client)
        self.ready: deque[int] = deque()
        self.taken = 0
        self.next = 0
        self.once: shared_queue.SimpleQueue[int] = shared_queue.SimpleQueue(name("model"), client=client)
        self.put_once: deque[int] = deque()
        self.key = name("model")
        self.version = 0
        self.app = App()
        self.app._client = client
        self.tasks: list[str] = []

    def step(self) -> None:
        operation = self.random.choice(
            [self.lock_step, self.semaphore_step, self.event_step, self.put, self.get, self.task_done, self.once_step, self.data, self.task]
        )
        operation()
        self.done[operation.__name__] += 1

    def lock_step(self) -> None:
        if self.held:
            assert not self.other.acquire(blocking=False)
            self.lock.release()
        else:
            assert self.lock.acquire()
            assert self.lock.fence > self.fence, "fences rise"
            self.fence = self.lock.fence
        self.held = not self.held
        assert self.lock.locked() == self.held

    def semaphore_step(self) -> None:
        if self.permits and self.random.random() < 0.5:
            self.semaphore.release()
            self.permits -= 1
        else:
            got = self.semaphore.acquire(blocking=False)
            assert got == (self.permits < 3), (got, self.permits)
            self.permits += got

    def event_step(self) -> None:
        if self.set:
            self.event.clear()
        else:
            self.event.set()
        self.set = not self.set
        assert self.event.is_set() == self.set

    def put(self) -> None:
        try:
            self.items.put(self.next, block=False)
            assert len(self.ready) < 5
            self.ready.append(self.next)
            self.next += 1
        except queue.Full:
            assert len(self.ready) == 5
        self.check_counts()

    def get(self) -> None:
        try:
            item = self.items.get(block=False)
            assert item == self.ready.popleft(), "in order, none lost and none twice"
            self.taken += 1
        except queue.Empty:
            assert not self.ready
        self.check_counts()

    def task_done(self) -> None:
        if self.taken:
            self.items.task_done()
            self.taken -= 1
            self.check_counts()

    def check_counts(self) -> None:
        counts = self.items._counts()
        assert (counts["ready"], counts["unfinished"]) == (len(self.ready), len(self.ready) + self.taken), counts

    def once_step(self) -> None:
        if self.random.random() < 0.5:
            self.once.put(self.next)
            self.put_once.append(self.next)
            self.next += 1
        elif self.put_once:
            got, expected = self.once.get(timeout=10), self.put_once.popleft()
            assert got == expected, f"got {got}, expected {expected}, then {list(self.put_once)}"
        assert self.once.qsize() == len(self.put_once)

    def data(self) -> None:
        self.version += 1
        self.client.call(_api.put_data(self.key, {"value": self.version}))
        assert self.client.call(_api.get_data(self.key)).json()["value"] == self.version

    def task(self) -> None:
        tag = self.key
        self.tasks.append(self.app.send_task("add", (len(self.tasks), 1), tags=[tag]).id)

    def check_tasks(self, direct: Caraway) -> None:
        """Each was accepted once: as many have the tag as were submitted."""
        found: list[str] = []
        cursor = None
        while True:
            page = direct.call(_api.list_tasks(tag=self.key, cursor=cursor, limit=100)).json()
            found += [one["id"] for one in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(found) == sorted(self.tasks), (len(found), len(self.tasks))


class Faults(unittest.TestCase):
    def _run(
        self, client: Caraway, seed: int, operations: int, enough: Callable[[], bool] = lambda: True
    ) -> "Counter[str]":
        """So many operations, and more until there is enough of what they are to meet, for two minutes at most."""
        deadline = time.monotonic() + 120
        print(f"seed {seed}", flush=True)
        models = [Model(client, seed + number) for number in range(THREADS)]
        failures: list[BaseException] = []

        def run(model: Model) -> None:
            try:
                for count in itertools.count():
                    if count >= operations // THREADS and (enough() or time.monotonic() > deadline):
                        return
                    model.step()
                    if failures:
                        return
            except BaseException as error:
                failures.append(error)

        threads: list[Any] = [threading.Thread(target=run, args=(model,)) for model in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        with Caraway() as direct:
            for model in models:
                model.check_tasks(direct)
        return sum((model.done for model in models), Counter[str]())

    def test_connections_are_cut(self) -> None:
        seed = int(os.environ.get("CARAWAY_MODEL_SEED", random.randrange(1 << 30)))
        proxy = Cutting(os.environ["CARAWAY_URL"], CHANCE, seed)
        with Caraway(proxy.url, os.environ.get("CARAWAY_API_KEY")) as client:
            total = self._run(client, seed, OPERATIONS)
        proxy.close()
        print(f"{sum(total.values())} operations, {proxy.cuts} cuts: {dict(total)}", flush=True)
        self.assertGreater(proxy.cuts, OPERATIONS // 100, "it was attacked")

    @unittest.skipUnless("CARAWAY_DEV_DIR" in os.environ, "deploy/dev test-python has servers that may be killed")
    def test_servers_are_killed(self) -> None:
        """The API, Redis and PostgreSQL, one after the other, until all operations are done."""
        over, faults = threading.Event(), list[str]()

        def attack() -> None:
            for part in itertools.cycle(TURNS):
                for command in ("kill", "start"):
                    subprocess.run([DEV, command, part], check=True, stdout=subprocess.DEVNULL)
                faults.append(part)
                if over.wait(1.0):
                    return

        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            with Caraway() as client:
                total = self._run(client, random.randrange(1 << 30), OPERATIONS, lambda: len(faults) >= len(TURNS))
        finally:
            over.set()
            attacker.join()
        print(f"{sum(total.values())} operations, killed: {dict(Counter(faults))}", flush=True)
        self.assertGreaterEqual(len(faults), len(TURNS), "each was killed")
