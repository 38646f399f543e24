"""Caraway for Python: tasks, and Python's own locks and queues across processes and hosts."""

from typing import TYPE_CHECKING, Any

from ._version import VERSION as __version__

if TYPE_CHECKING:
    from ._client import AsyncCaraway, Caraway, connect
    from ._errors import CarawayError, Problem, TransportError, UnsupportedByServer
    from ._problems import LeaseLost

__all__ = ["AsyncCaraway", "Caraway", "CarawayError", "LeaseLost", "Problem", "TransportError", "UnsupportedByServer", "__version__", "connect"]

# Loaded when they are asked for: whoever needs a lock does not pay for tasks.
_WHERE = {
    "AsyncCaraway": "_client",
    "Caraway": "_client",
    "connect": "_client",
    "CarawayError": "_errors",
    "Problem": "_errors",
    "TransportError": "_errors",
    "UnsupportedByServer": "_errors",
    "LeaseLost": "_problems",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module 'caraway' has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
