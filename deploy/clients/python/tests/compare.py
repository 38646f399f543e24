#!/usr/bin/env python3
"""One uncontended acquire + release, one put + get + done, one `delay().get()`: medians beside redis-py and Celery, in one run.

usage: compare.py [ROUNDS], with CARAWAY_URL and CARAWAY_REDIS_URL set and deploy/bench/peers/celery/requirements.txt installed.

The three take turns, so that what else the machine does hits them alike. What they promise is not alike: an answer of
Caraway is on disk, one of Redis is in memory.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from uuid import uuid4

import redis
from celery import Celery

from caraway import App
from caraway import queue as shared_queue
from caraway import threading as shared

URL = os.environ["CARAWAY_REDIS_URL"]
NAME = f"compare-{uuid4().hex[:8]}"

peer = Celery("compare", broker=f"{URL}/5", backend=f"{URL}/6")
peer.conf.task_acks_late = True
peer.conf.worker_hijack_root_logger = False


@peer.task(name="compare.add")
def add(x: int, y: int) -> int:
    return x + y


def subjects() -> dict[str, Callable[[], object]]:
    store = redis.Redis.from_url(URL)
    lock, other = shared.Lock(NAME), store.lock(NAME, timeout=30)
    items: shared_queue.Queue[int] = shared_queue.Queue(NAME)
    task = App().signature("add", (1, 2))

    def caraway_lock() -> None:
        lock.acquire()
        lock.release()

    def redis_lock() -> None:
        other.acquire()
        other.release()

    def caraway_queue() -> None:
        items.put(1)
        items.get()
        items.task_done()

    def redis_list() -> None:
        store.rpush(NAME, 1)
        # Moved to a list of what is in work, and removed from there: at least once, as ours.
        store.blmove(NAME, f"{NAME}-work", 5)
        store.lrem(f"{NAME}-work", 1, "1")

    return {
        "acquire + release: caraway.threading.Lock": caraway_lock,
        "acquire + release: redis-py Lock": redis_lock,
        "put + get + done: caraway.queue.Queue": caraway_queue,
        "put + get + done: a Redis list (rpush, blmove, lrem)": redis_list,
        "delay().get(): caraway": lambda: task.delay().get(10),
        "delay().get(): Celery, Redis, acks_late": lambda: add.delay(1, 2).get(10),
    }


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    command = [sys.executable, "-m", "celery", "-A", "compare", "worker", "--concurrency", "2", "--loglevel", "ERROR"]
    worker = subprocess.Popen(command, cwd=os.path.dirname(os.path.abspath(__file__)), stdout=subprocess.DEVNULL)
    try:
        times: dict[str, list[float]] = {}
        runs = subjects()
        for run in runs.values():
            run()  # connections are made, and the worker is up
        for _ in range(rounds):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                times.setdefault(name, []).append(time.perf_counter() - start)
    finally:
        worker.terminate()
        worker.wait()
    for name, values in times.items():
        values.sort()
        print(f"{1000 * statistics.median(values):8.2f} ms  (p90 {1000 * values[len(values) * 9 // 10]:.2f})  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
