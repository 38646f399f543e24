"""How values become JSON, and come back.

`Json` is plain: tuples come back as lists. `Python` marks what JSON does not have: tuples, sets, bytes, decimals, times, NaN.
"""

import base64
import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol


class Codec(Protocol):
    """Turns values into what JSON has, and back."""

    def encode(self, value: Any) -> Any:
        """What is sent."""

    def decode(self, value: Any) -> Any:
        """What was sent."""


class Json:
    """Values as JSON has them."""

    def encode(self, value: Any) -> Any:
        """The value itself."""
        return value

    def decode(self, value: Any) -> Any:
        """The value itself."""
        return value


class Python:
    """Values of Python's own types, marked with `$` and the type's name where JSON does not have it."""

    def encode(self, value: Any) -> Any:
        """With marks. A type that is not known is refused."""
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": str(value)}
        if isinstance(value, list):
            return [self.encode(one) for one in _list(value)]
        if isinstance(value, dict):
            return self._pairs(_pairs(value))
        for kind, (name, write, _) in _MARKED.items():
            if type(value) is kind:
                return {name: write(self, value)}
        raise TypeError(f"a value of type {type(value).__name__} cannot be sent")

    def _pairs(self, value: dict[Any, Any]) -> Any:
        if all(isinstance(key, str) for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
            return {key: self.encode(one) for key, one in value.items()}
        return {"$dict": [[self.encode(key), self.encode(one)] for key, one in value.items()]}

    def decode(self, value: Any) -> Any:
        """Without marks."""
        if isinstance(value, list):
            return [self.decode(one) for one in _list(value)]
        if not isinstance(value, dict):
            return value
        pairs = _pairs(value)
        if len(pairs) == 1:
            name, inner = next(iter(pairs.items()))
            if name == "$float":
                return float(inner)
            if name == "$dict":
                return {self.decode(key): self.decode(one) for key, one in inner}
            for marked, _, read in _MARKED.values():
                if marked == name:
                    return read(self, inner)
        return {key: self.decode(one) for key, one in pairs.items()}




def _list(value: Any) -> list[Any]:
    """For type checkers: a list of which nothing more is known."""
    return value  # type: ignore[no-any-return]


def _pairs(value: Any) -> dict[Any, Any]:
    """For type checkers: a dict of which nothing more is known."""
    return value  # type: ignore[no-any-return]


_Step = Callable[[Python, Any], Any]
_MARKED: dict[type, tuple[str, _Step, _Step]] = {
    tuple: ("$tuple", lambda codec, value: [codec.encode(one) for one in value], lambda codec, value: tuple(codec.decode(value))),
    set: ("$set", lambda codec, value: [codec.encode(one) for one in value], lambda codec, value: set(codec.decode(value))),
    frozenset: (
        "$frozenset",
        lambda codec, value: [codec.encode(one) for one in value],
        lambda codec, value: frozenset(codec.decode(value)),
    ),
    bytes: ("$bytes", lambda _, value: base64.b64encode(value).decode(), lambda _, value: base64.b64decode(value)),
    Decimal: ("$decimal", lambda _, value: str(value), lambda _, value: Decimal(value)),
    datetime: ("$datetime", lambda _, value: value.isoformat(), lambda _, value: datetime.fromisoformat(value)),
    date: ("$date", lambda _, value: value.isoformat(), lambda _, value: date.fromisoformat(value)),
}
