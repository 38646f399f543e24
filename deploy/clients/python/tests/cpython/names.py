"""CPython's tests make objects without names. Here each gets a fresh one."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

_RUN = uuid4().hex[:12]
_number = count()


def fresh(kind: type, **settings: Any) -> Callable[..., Any]:
    """A maker of objects, each with a name that nobody else has."""

    def make(*arguments: Any, **keywords: Any) -> Any:
        return kind(f"cpython-{_RUN}-{next(_number)}", *arguments, **keywords, **settings)

    make.__name__ = kind.__name__
    return make


class Module(SimpleNamespace):
    """A module in which some names are replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        super().__init__(**replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def skips() -> dict[str, str]:
    """Which tests are left out, and why."""
    lines = (Path(__file__).parent / "skips.txt").read_text().splitlines()
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return {name: reason.strip() for name, reason in pairs}


def mark_skips(classes: dict[str, Any]) -> None:
    """Marks what the file lists; a line that names no test is an error, so that the list stays true."""
    for name, reason in skips().items():
        kind, _, test = name.partition(".")
        if kind not in classes or test == "*":
            continue
        case = classes[kind]
        if not hasattr(case, test):
            continue  # another version of CPython has it

        def skipped(self: Any, reason: str = reason) -> None:
            self.skipTest(reason)

        setattr(case, test, skipped)
