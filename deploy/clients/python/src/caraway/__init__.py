"""Caraway for Python: tasks, and Python's own locks and queues across processes and hosts."""

from typing import TYPE_CHECKING, Any

from ._version import VERSION as __version__

if TYPE_CHECKING:
    from ._client import AsyncCaraway, Caraway, connect
    from ._errors import CarawayError, Problem, TransportError, UnsupportedByServer
    from ._options import Retry
    from ._problems import LeaseLost, TaskCancelled, TaskExpired, TaskFailed, TaskNotFound
    from .app import App
    from .canvas import chain, chord, gather, group
    from .result import AsyncResult, GroupResult, WorkflowResult

__all__ = ["App", "AsyncCaraway", "AsyncResult", "Caraway", "CarawayError", "GroupResult", "LeaseLost", "Problem", "Retry", "TaskCancelled", "TaskExpired", "TaskFailed", "TaskNotFound", "TransportError", "UnsupportedByServer", "WorkflowResult", "chain", "chord", "connect", "gather", "group", "__version__"]  # fmt: skip

# Loaded when they are asked for: whoever needs a lock does not pay for tasks.
_WHERE = {
    "App": "app",
    "AsyncCaraway": "_client",
    "AsyncResult": "result",
    "Caraway": "_client",
    "CarawayError": "_errors",
    "GroupResult": "result",
    "LeaseLost": "_problems",
    "Problem": "_errors",
    "Retry": "_options",
    "TaskCancelled": "_problems",
    "TaskExpired": "_problems",
    "TaskFailed": "_problems",
    "TaskNotFound": "_problems",
    "TransportError": "_errors",
    "UnsupportedByServer": "_errors",
    "WorkflowResult": "result",
    "chain": "canvas",
    "chord": "canvas",
    "connect": "_client",
    "gather": "canvas",
    "group": "canvas",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module 'caraway' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    return value
