"""Codecs, priorities, ids, and what the errors are."""

import builtins
import pickle
import queue
import unittest
from datetime import date, datetime, timezone
from decimal import Decimal

from caraway import _problems
from caraway._call import encode
from caraway._ids import new_id
from caraway._priority import priority_of
from caraway._shutdown import ShutDown
from caraway.codec import Python


class Codecs(unittest.TestCase):
    def test_values_come_back(self) -> None:
        import json

        codec = Python()
        for value in (
            None, True, 1, 1.5, "ä", [1, [2]], (1, (2, [3])), {1, 2}, frozenset({3}), b"\0\xff", Decimal("1.10"), float("inf"),
            datetime(2026, 1, 2, 3, tzinfo=timezone.utc), date(2026, 1, 2), {"a": (1,)}, {1: 2}, {"$tuple": [1]}, {(1, 2): 3}, 2**70,
        ):  # fmt: skip
            back = codec.decode(json.loads(encode(codec.encode(value))))
            self.assertEqual(back, value)
            self.assertIs(type(back), type(value))

    def test_others_are_refused(self) -> None:
        with self.assertRaises(TypeError):
            Python().encode(object())
        with self.assertRaises(ValueError):
            encode(float("nan"))


class Priorities(unittest.TestCase):
    def test_the_order_is_pythons(self) -> None:
        for values in ([3, -1.5, True, 0, 2**60, -(2**70)], ["b", "", "a", "aa", "é", "aZ", "zzzzzz"]):
            self.assertEqual(sorted(values, key=priority_of), sorted(values))

    def test_what_would_not_be_in_order_is_refused(self) -> None:
        for value in (2**53 + 1, float("nan"), float("inf"), "longer!", 10**400):
            with self.assertRaises(ValueError, msg=repr(value)):
                priority_of(value)
        for value in (None, (), {}, b"a"):
            with self.assertRaises(TypeError, msg=repr(value)):
                priority_of(value)


class Ids(unittest.TestCase):
    def test_version_7_in_order(self) -> None:
        from uuid import UUID

        ids = [new_id() for _ in range(100)]
        self.assertEqual({(UUID(one).version, UUID(one).variant) for one in ids}, {(7, "specified in RFC 4122")})
        self.assertEqual([one[:13] for one in ids], sorted(one[:13] for one in ids))
        self.assertEqual(len(set(ids)), 100)


class Errors(unittest.TestCase):
    def test_they_are_what_python_code_catches(self) -> None:
        for code, base in (
            ("would_block", TimeoutError), ("queue_full", queue.Full), ("queue_shut_down", ShutDown), ("lease_lost", RuntimeError),
            ("data_not_found", KeyError), ("task_not_found", LookupError), ("unauthorized", PermissionError),
            ("database_unavailable", builtins.ConnectionError), ("invalid_request", ValueError), ("task_not_finished", TimeoutError),
        ):  # fmt: skip
            error = _problems.BY_CODE[code]({"code": code, "detail": "so it is"}, 400)
            self.assertIsInstance(error, base)
            self.assertEqual(str(error), f"so it is ({code})")
            self.assertEqual(str(pickle.loads(pickle.dumps(error))), str(error))
