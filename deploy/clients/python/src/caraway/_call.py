"""A request as data, its answer as data, and the steps of which everything here is made.

A primitive is written once, as a generator that yields steps and is sent what came of them. `_drive` runs it: one driver
blocks the thread, the other awaits. So nothing exists twice, once for threads and once for asyncio.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

T = TypeVar("T")

# The longest time that one request asks the server to wait. Longer waits are repeated requests.
WAIT_MAX = 60.0
# What an answer may take beyond the time that the server was asked to wait. Nothing is read without a deadline.
ANSWER_MAX = 10.0


@dataclass(frozen=True)
class Call:
    """One request, not sent yet."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    # How long the server may wait before it answers.
    wait: float = 0.0
    # For so many seconds it is repeated; 30 where nothing is said.
    give_up_after: float | None = None


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body; None where it has none."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Exchange:
    """A step: send this once and read the answer within so many seconds."""

    call: Call
    seconds: float


@dataclass(frozen=True)
class Sleep:
    """A step: wait for so many seconds."""

    seconds: float


Steps = Generator[Exchange | Sleep, Any, T]


def make(
    method: str,
    path: str,
    names: tuple[str, ...] = (),
    *,
    query: dict[str, Any] | None = None,
    headers: dict[str, str | None] | None = None,
    body: Any = ...,
    content: bytes | None = None,
) -> Call:
    """A call of an operation: `names` take the places of `{}` in its path."""
    if names:
        path = path.format(*(quote(name, safe="") for name in names))
    wait = 0.0
    if query:
        given = {name: _text(value) for name, value in query.items() if value is not None}
        wait = float(query.get("wait") or 0.0)
        if given:
            path = f"{path}?{urlencode(given)}"
    sent = {name: value for name, value in (headers or {}).items() if value is not None}
    if body is not ...:
        content = encode(body)
        sent["Content-Type"] = "application/json"
    return Call(method, path, content, sent, min(wait, WAIT_MAX))


def encode(value: Any) -> bytes:
    """JSON as it is sent."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
