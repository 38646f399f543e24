"""What can go wrong, as exceptions. One class for each problem code is generated beside this, in `_problems`."""

import builtins
from typing import Any


class CarawayError(Exception):
    """Whatever Caraway or the way to it refuses."""


class ConfigurationError(CarawayError, ValueError):
    """The client was not told where the server is, or told something that makes no sense."""


class TransportError(CarawayError, ConnectionError):
    """The server could not be reached, or the connection ended before its answer."""

    # Whether it happened on a connection that had answered before, which the server may have closed meanwhile.
    reused: bool = False


class NoAnswer(TransportError, builtins.TimeoutError):
    """The server did not answer in time."""


class UnsupportedByServer(CarawayError, NotImplementedError):
    """The server is older than this client and does not have this."""


class Problem(CarawayError):
    """The server refused a request, and says why in a problem document."""

    code: str = ""
    status: int = 0

    def __init__(self, document: dict[str, Any], status: int, retry_after: float | None = None) -> None:
        text = f"{document.get('detail') or document.get('title') or status} ({document.get('code') or status})"
        super().__init__(text)
        self._text = text
        self.document = document
        self.status = status
        self.code = str(document.get("code") or "")
        self.detail = str(document.get("detail") or "")
        # Seconds after which the server would look at it again.
        self.retry_after = retry_after

    @property
    def error(self) -> dict[str, Any] | None:
        """What a failed task left: its code, message and details."""
        return self.document.get("error")

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.document, self.status, self.retry_after))
