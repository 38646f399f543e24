"""How a task is to be run: from Python's words, and Celery's, to those of the API."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, TypedDict

from ._types import Backoff


@dataclass(frozen=True)
class Retry:
    """How often, when, and after which errors a task is tried again."""

    max_attempts: int | None = None
    backoff: Backoff | None = None
    jitter: float | None = None
    # Codes of errors, with `*`.
    retry_on: list[str] | None = None
    no_retry_on: list[str] | None = None
    max_retry_duration: float | None = None

    def document(self) -> dict[str, Any]:
        """As the API takes it."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Options(TypedDict, total=False):
    """All that can be said beside the arguments."""

    countdown: float
    """Seconds until it may start."""
    eta: datetime
    """When it may start; without a time zone it is the local one."""
    expires: float | datetime
    """It expires if it has not started by then: a time, or seconds from now."""
    queue: str
    priority: int
    """0 to 9, higher is more urgent."""
    timeout: float | None
    """The hard time limit of an attempt, seconds; None is none."""
    soft_timeout: float
    retry: Retry
    unique: str | dict[str, Any]
    """A key, or all that the API knows of unique tasks."""
    result_ttl: float
    store_result: bool
    tags: list[str]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """One task to be submitted."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    options: Options = field(default_factory=lambda: Options())

    def document(self) -> dict[str, Any]:
        """As the API takes it."""
        document: dict[str, Any] = {"name": self.name, "args": list(self.args), "kwargs": self.kwargs}
        for name, value in self.options.items():
            _OPTION[name](document, value)
        return document


def _expires(document: dict[str, Any], value: Any) -> None:
    at = value if isinstance(value, datetime) else datetime.now(timezone.utc) + timedelta(seconds=value)
    document["expires_at"] = _time(at)


def _eta(document: dict[str, Any], value: Any) -> None:
    document["run_at"] = _time(value)


def _retry(document: dict[str, Any], value: Any) -> None:
    document["retry"] = value.document()


def _unique(document: dict[str, Any], value: Any) -> None:
    document["unique"] = {"key": value} if isinstance(value, str) else value


def _time(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _same(name: str) -> Any:
    def put(document: dict[str, Any], value: Any) -> None:
        document[name] = value

    return put


_OPTION: dict[str, Any] = {
    "countdown": _same("delay"),
    "eta": _eta,
    "expires": _expires,
    "retry": _retry,
    "unique": _unique,
    **{
        name: _same(name)
        for name in ("queue", "priority", "timeout", "soft_timeout", "result_ttl", "store_result", "tags", "metadata")
    },
}
