"""Against real servers, which `deploy/dev test-python` starts."""

from collections.abc import Callable
from time import monotonic, sleep
from uuid import uuid4


def name(what: str) -> str:
    """A name that nobody else has."""
    return f"{what}-{uuid4().hex[:12]}"


def until(ready: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits for a condition, and fails when it does not come."""
    end = monotonic() + seconds
    while not ready():
        if monotonic() > end:
            raise AssertionError("it did not come in time")
        sleep(0.005)
