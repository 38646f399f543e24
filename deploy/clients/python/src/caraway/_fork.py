"""What a child process must not inherit: sockets, locks that another thread held, threads that are not there, leases.

Leases stay the parent's. The child forgets them, and whatever it takes is its own.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Forgets(Protocol):
    """Has something that belongs to one process."""

    def forget(self) -> None:
        """Called in the child, while it has one thread."""


_all: "WeakSet[Forgets]" = WeakSet()


def forget_in_child(thing: Forgets) -> None:
    """From now on `thing.forget()` is called in every child that is forked."""
    _all.add(thing)


def _after_fork() -> None:
    for thing in list(_all):
        thing.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
