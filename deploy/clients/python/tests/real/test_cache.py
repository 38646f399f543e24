"""Cached data: loaded once, gone in time, and never what became stale while it was loaded."""

import asyncio
import threading
import time
import unittest

from caraway.cache import AsyncCache, Cache

from . import name, until


class Caches(unittest.TestCase):
    def test_values(self) -> None:
        cache = Cache(name("cache"))
        self.assertEqual((cache.get("k"), cache.get("k", 7)), (None, 7))
        for value in ({"a": [1, None]}, None, 0, ""):
            cache.set("k", value)
            self.assertEqual(cache.get("k", "missing"), value)
        cache.delete("k")
        cache.delete("k")
        self.assertEqual(cache.get("k", "missing"), "missing")

    def test_a_value_ends(self) -> None:
        cache = Cache(name("cache"))
        cache.set("k", 1, ttl=1)
        self.assertEqual(cache.get("k"), 1)
        until(lambda: cache.get("k") is None)

    def test_it_is_loaded_once(self) -> None:
        what, loads = name("cache"), list[int]()

        def load() -> int:
            loads.append(1)
            time.sleep(0.3)  # so that all others come meanwhile
            return 5

        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(Cache(what).get_or_load("k", load))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((found, len(loads)), ([5] * 8, 1))

    def test_what_became_stale_is_not_stored(self) -> None:
        cache = Cache(name("cache"))

        def load() -> str:
            self.assertIsNone(cache.get("k"), "what is being loaded is not there")
            cache.delete("k")
            return "stale"

        self.assertEqual(cache.get_or_load("k", load), "stale")
        self.assertIsNone(cache.get("k"))

        def load_slowly() -> str:
            cache.set("k", "newer")
            return "older"

        self.assertEqual(cache.get_or_load("k", load_slowly), "older")
        self.assertEqual(cache.get("k"), "newer")

    def test_a_failed_load_leaves_the_way_free(self) -> None:
        cache = Cache(name("cache"))
        with self.assertRaises(ZeroDivisionError):
            cache.get_or_load("k", lambda: 1 // 0)
        self.assertEqual(cache.get_or_load("k", lambda: 2), 2)
        self.assertEqual(cache.get("k"), 2)


class AsyncCaches(unittest.IsolatedAsyncioTestCase):
    async def test_it_is_loaded_once(self) -> None:
        cache, loads = AsyncCache(name("cache")), list[int]()

        async def load() -> int:
            loads.append(1)
            await asyncio.sleep(0.3)  # so that all others come meanwhile
            return 5

        self.assertEqual(await asyncio.gather(*(cache.get_or_load("k", load) for _ in range(8))), [5] * 8)
        self.assertEqual(len(loads), 1)
