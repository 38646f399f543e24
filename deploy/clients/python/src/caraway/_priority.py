"""What an item of a priority queue is sorted by: the server compares doubles."""

import math
from typing import Any, cast

# Strings come after all numbers, by their first bytes. Six fill what a double holds exactly.
STRING_BYTES = 6


def priority_of(item: Any) -> float:
    """The item itself, or the first element of a tuple. Items with equal ones leave in the order in which they came."""
    if isinstance(item, (tuple, list)):
        elements = cast("tuple[Any, ...]", item)
        if not elements:
            raise TypeError("an empty tuple has no priority")
        return priority_of(elements[0])
    if isinstance(item, (bool, int, float)):
        return _number(item)
    if isinstance(item, str):
        return _string(item)
    raise TypeError(f"an item of a priority queue is a number or a string, or begins with one, and not {type(item).__name__}")


def as_heap_item(value: Any) -> Any:
    """JSON has no tuples; an item of a priority queue that is a list was one."""
    return _tuple(value) if isinstance(value, list) else value


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value)


def _number(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number != value or not math.isfinite(number) or abs(number) >= 2.0**1000:
        raise ValueError("a priority must be a number that a double holds exactly, below 2**1000")
    return number


def _string(value: str) -> float:
    data = value.encode()
    if len(data) > STRING_BYTES:
        raise ValueError(f"a string as a priority has at most {STRING_BYTES} bytes: longer ones would not be in order")
    return math.ldexp(2.0**52 + int.from_bytes(data.ljust(STRING_BYTES, b"\0"), "big"), 1000 - 52)
