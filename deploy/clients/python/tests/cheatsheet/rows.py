"""What is written instead, block by block, and how two processes run it. Nothing else of a block is changed.

`PRELUDE` of a row is what the page leaves out (an item, a condition). `a` and `b` are what the two processes do with the
block beside running it, and `says` what they must print. `N` is a name that both have, `ROLE` is "a" or "b".
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """How a block is run."""

    # Lines of the page, and what stands in their places.
    instead: tuple[tuple[str, str], ...]
    prelude: str = ""
    a: str = ""
    b: str = ""
    says: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Later:
    """A block that needs what is not there yet."""

    needs: str


CONTAINERS = Later("containers of the server (step 3 of the plan)")
WORKER = Later("workers in Python (step 2 of the plan)")

# So that both processes have run the block before either goes on.
MEET = 'from caraway import threading as _t; _t.Barrier(N + "-meet", 2).wait(30)\n'

ROWS: dict[str, Row | Later] = {
    "1.1#0": CONTAINERS,
    "1.2#0": CONTAINERS,
    "1.3#0": CONTAINERS,
    "1.4#0": CONTAINERS,
    "1.5#0": CONTAINERS,
    "1.5#1": CONTAINERS,
    "1.5#2": CONTAINERS,
    "1.5#3": CONTAINERS,
    "2.1#0": Row(
        (
            ("from queue import Queue", "from caraway.queue import Queue"),
            ("q = Queue(maxsize=10) # Optional size limit", "q = Queue(N, maxsize=10)"),
        ),
        prelude="item = ROLE",
        a="assert item in 'ab'; print(q.unfinished_tasks)",
        b="assert item in 'ab'; print(q.unfinished_tasks)",
        says=("0", "0"),
    ),
    "2.1#1": Row(
        (("from queue import LifoQueue", "from caraway.queue import LifoQueue"), ("stack = LifoQueue()", "stack = LifoQueue(N)")),
        prelude="item = {'from': ROLE}",
        a="stack.task_done(); stack.join(); print(item['from'] in 'ab', stack.qsize())",
        b="stack.task_done(); stack.join(); print(item['from'] in 'ab', stack.qsize())",
        says=("True 0", "True 0"),
    ),
    "2.1#2": Row(
        (
            ("from queue import PriorityQueue", "from caraway.queue import PriorityQueue"),
            ("pq = PriorityQueue()", "pq = PriorityQueue(N)"),
        ),
        prelude="priority_value, item = 1, {'not': 'comparable'}",
        a="print(item)",
        b="print(item)",
        says=("(1, {'not': 'comparable'})", "(1, {'not': 'comparable'})"),
    ),
    "2.2#0": CONTAINERS,
    "2.3#0": Row(
        (("from multiprocessing import Queue", "from caraway.multiprocessing import Queue"), ("mp_q = Queue()", "mp_q = Queue(N)")),
        prelude="item = 5",
        a=MEET + "print(mp_q.qsize())",
        b=MEET + "print(mp_q.qsize())",
        says=("0", "0"),
    ),
    "3.1#0": Row(
        (("import threading", "from caraway import threading"), ("my_lock = threading.Lock()", "my_lock = threading.Lock(N, ttl=30)")),
        a="with my_lock:\n    mine = my_lock.fence\n" + MEET + "print(mine > 0, my_lock.lost.is_set())",
        b="with my_lock:\n    mine = my_lock.fence\n" + MEET + "print(mine > 0, my_lock.lost.is_set())",
        says=("True False", "True False"),
    ),
    "3.2#0": Row(
        (("import threading", "from caraway import threading"), ("my_rlock = threading.RLock()", "my_rlock = threading.RLock(N)")),
        prelude="depth = iter([True, True, False])\nclass Condition:\n    def __bool__(self): return next(depth)\ncondition = Condition()",
        a="recursive_func(); print(next(depth, 'three deep'))",
        b="recursive_func(); print(next(depth, 'three deep'))",
        says=("three deep", "three deep"),
    ),
    "3.3#0": Row(
        (
            ("import threading", "from caraway import threading"),
            ("my_semaphore = threading.Semaphore(3)", "my_semaphore = threading.Semaphore(N, 3)"),
        ),
        a="my_semaphore.acquire(); my_semaphore.acquire()\n" + MEET + MEET.replace("meet", "end") + "my_semaphore.release(2)",
        b=MEET + "print(my_semaphore.acquire(blocking=False), my_semaphore.acquire(blocking=False))\n" + MEET.replace("meet", "end"),
        says=("", "True False"),
    ),
    "3.4#0": Row(
        (
            ("import threading", "from caraway import threading"),
            ("my_event = threading.Event()", "my_event = threading.Event(N)"),
            # The page shows what two threads do. Each process does one part.
            ("my_event.wait() # Blocks until event is set", 'if ROLE == "a": print(my_event.wait(30))'),
            ("my_event.set()  # Signals all waiting threads", 'if ROLE == "b": wait_for_waiter(); my_event.set()'),
            ("my_event.clear() # Resets the event", 'if ROLE == "b": my_event.clear(); print(my_event.is_set())'),
        ),
        prelude="import time\ndef wait_for_waiter(): time.sleep(0.5)",
        says=("True", "False"),
    ),
    "3.5#0": Row(
        (
            ("import threading", "from caraway import threading"),
            ("my_condition = threading.Condition()", "my_condition = threading.Condition(N)"),
        ),
        # Both notify, then look at the condition in a loop: b makes it true when a waits.
        prelude=(
            "import time\nfrom caraway.threading import Event\nready = Event(N)\n"
            "class Met:\n    def __bool__(self):\n        if ROLE == 'b': ready.set()\n        return ready.is_set()\n"
            "condition_met = Met()\nif ROLE == 'b': time.sleep(0.5)"
        ),
        a="print('met')",
        b="with my_condition: my_condition.notify_all()\nprint('made it true')",
        says=("met", "made it true"),
    ),
    "4.1#0": Row(
        (
            ("import httpx # For async HTTP requests", "from caraway import App; app = App()"),
            ("async def fetch_data(url):", 'async def fetch_data(url): return (await app.call("fetch_data", url))["body"]'),
            ("    async with httpx.AsyncClient() as client:", ""),
            ("        response = await client.get(url) # Await I/O operation", ""),
            ("        return response.json()", ""),
            (
                '    data = await fetch_data("[https://api.example.com/data](https://api.example.com/data)")',
                "    data = await fetch_data_or_say()",
            ),
        ),
        # A worker fetches nothing from loopback, and a test asks nobody else.
        prelude=(
            "from caraway import TaskFailed\n"
            "async def fetch_data_or_say():\n"
            "    try: return await fetch_data('http://127.0.0.1:1/data')\n"
            "    except TaskFailed as error: return error.error['code']"
        ),
        says=("ssrf_blocked", "ssrf_blocked"),
    ),
    "4.2#0": WORKER,
    "4.3#0": Row(
        (
            ("import asyncio", "import asyncio; from caraway import asyncio as shared"),
            ("async_lock = asyncio.Lock()", "async_lock = shared.Lock(N)"),
        ),
        a="asyncio.run(protected_resource_access()); print(async_lock.lost.is_set())",
        b="asyncio.run(protected_resource_access()); print(async_lock.lost.is_set())",
        says=("False", "False"),
    ),
    "4.3#1": Row(
        (
            ("import asyncio", "import asyncio; from caraway import asyncio as shared"),
            ("async_semaphore = asyncio.Semaphore(5) # Max 5 concurrent", "async_semaphore = shared.Semaphore(N, 5)"),
        ),
        a="async def main(): await asyncio.gather(*(limited_async_task() for _ in range(4)))\nasyncio.run(main()); print('done')",
        b="async def main(): await asyncio.gather(*(limited_async_task() for _ in range(4)))\nasyncio.run(main()); print('done')",
        says=("done", "done"),
    ),
    "4.3#2": Row(
        (
            ("import asyncio", "import asyncio; from caraway import asyncio as shared"),
            ("async_event = asyncio.Event()", "async_event = shared.Event(N)"),
        ),
        a="asyncio.run(waiter())",
        b="async def main():\n    await setter()\n    await async_event.is_set()\nasyncio.run(main())",
        says=("Event set!", ""),
    ),
    "4.3#3": Row(
        (
            ("import asyncio", "import asyncio; from caraway import asyncio as shared"),
            ("async_condition = asyncio.Condition()", "async_condition = shared.Condition(N)"),
        ),
        a="asyncio.run(consumer_async()); print('consumed')",
        b="import time; time.sleep(0.7); asyncio.run(producer_async()); print('produced')",
        says=("consumed", "produced"),
    ),
    "4.3#4": Row(
        (
            ("import asyncio", "import asyncio; from caraway import asyncio as shared"),
            ("async_q = asyncio.Queue()", "async_q = shared.Queue(N)"),
            ("    data = await async_q.get()", "    data = await async_q.get(); async_q.task_done(); print(data)"),
        ),
        a="asyncio.run(consumer_async_q())",
        b="asyncio.run(producer_async_q()); asyncio.run(async_q.join()); print('joined')",
        says=("data", "joined"),
    ),
    "5.1#0": Row(
        (
            ("from sqlalchemy.orm import Session", "from caraway.fastapi import client, AsyncCaraway"),
            ("from .database import SessionLocal # Your DB session factory", ""),
            ("def get_db():", ""),
            ("    db = SessionLocal()", ""),
            ("    try:", ""),
            ("        yield db", ""),
            ("    finally:", ""),
            ("        db.close()", ""),
            ("async def read_items(db: Session = Depends(get_db)):", "async def read_items(cw: AsyncCaraway = Depends(client)):"),
            ("    # Use db session here", "    return await cw.items.list()"),
        ),
        prelude="from tests.cheatsheet.ask import app, ask",
        a="print(ask('GET', '/items/')[0])",
        b="print(ask('GET', '/items/')[0])",
        says=("200", "200"),
    ),
    "5.1#1": Row(
        (
            ("from sqlalchemy.ext.asyncio import create_async_engine, AsyncSession", "from caraway.fastapi import client, AsyncCaraway"),
            ("from sqlalchemy import select # Added import for select", "from fastapi import Depends"),
            ('async_engine = create_async_engine("postgresql+asyncpg://user:pass@host/db")', ""),
            ("AsyncSessionLocal = sessionmaker(async_engine, class_=AsyncSession)", ""),
            ("async def get_async_db():", ""),
            ("    async with AsyncSessionLocal() as session:", ""),
            ("        yield session", ""),
            (
                "async def get_user(user_id: int, session: AsyncSession = Depends(get_async_db)):",
                "async def get_user(user_id: int, cw: AsyncCaraway = Depends(client)):",
            ),
            ("    result = await session.execute(select(User).where(User.id == user_id))", "    return await cw.users.get(user_id)"),
            ("    user = result.scalar_one_or_none()", ""),
            ("    return user", ""),
        ),
        prelude="from tests.cheatsheet.ask import app, ask",
        a="print(ask('GET', '/users/1')[0], ask('GET', '/users/99999')[1]['code'])",
        b="print(ask('GET', '/users/1')[1]['id'])",
        says=("200 user_not_found", "1"),
    ),
    "5.2#0": WORKER,
    "5.2#1": Row(
        (
            ("from .celery_app import process_image", "from tests.cheatsheet.ask import process_image"),
            ("    task = process_image.delay(image_id) # Non-blocking dispatch", "    task = await process_image.adelay(image_id)"),
        ),
        prelude="from tests.cheatsheet.ask import app, ask, end_of",
        a="answer = ask('POST', '/process-image/' + end_of.image())[1]\nprint(answer['message'], end_of(answer['task_id']))",
        b="answer = ask('POST', '/process-image/' + end_of.image())[1]\nprint(answer['message'], end_of(answer['task_id']))",
        says=("Image processing started succeeded", "Image processing started succeeded"),
    ),
    "5.3#0": Row(
        (
            ("import redis.asyncio as aioredis", "from caraway.cache import AsyncCache; cache = AsyncCache(N)"),
            ("redis_client = None # Placeholder - initialize this in your app startup code", ""),
            ('    cached_value = await redis_client.get(f"my_cache:{key}")', "    cached_value = await cache.get(key)"),
            ("        return json.loads(cached_value)", "        return cached_value"),
            (
                '    await redis_client.setex(f"my_cache:{key}", 3600, json.dumps(data)) # Cache for 1 hour',
                "    await cache.set(key, data, ttl=3600)",
            ),
            ('    await redis_client.delete(f"my_cache:{key}") # Invalidate cache', "    await cache.delete(key)"),
        ),
        prelude="from tests.cheatsheet.ask import app, ask",
        a=(
            "print(ask('GET', '/cached-data/k')[1])\n" + MEET
            + "print(ask('POST', '/update-data/k?new_value=x')[1]['message'])"
        ),
        b=MEET + "print(ask('GET', '/cached-data/k')[1])",
        says=("{'value': 'from_db'}\nData updated and cache invalidated", "{'value': 'from_db'}"),
    ),
}  # fmt: skip
