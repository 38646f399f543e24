"""Semaphores: permits are leases of one object; any thread of it may give one back."""

import logging
import weakref
from collections.abc import Callable, Hashable

from . import _api
from ._call import Steps
from ._client import Client
from ._fork import forget_in_child
from ._keeper import keeper
from ._lease import Lease, lease_lost
from ._line import Terms, stand_in_line
from ._problems import LeaseLost, NotConfigured
from ._retry import send

_log = logging.getLogger("caraway")


class Permits:
    """A semaphore by its name."""

    def __init__(self, name: str, value: int, client: Client, ttl: float, strict: bool, me: Callable[[], Hashable]) -> None:
        if value < 1:
            raise ValueError("a semaphore has at least one permit; to signal, use an Event or a queue")
        self.name = name
        self.value = value
        self.client = client
        self.strict = strict
        self.me = me
        self.held: list[tuple[Hashable, Lease]] = []
        forget_in_child(self)
        weakref.finalize(self, _abandon, self.held)
        self.terms = Terms(
            client.pool,
            ttl,
            ask=lambda lease_id, wait: _api.acquire_permits(name, {"lease_id": lease_id, "owner": client.holder, "ttl": ttl}, wait=wait),
            renew=lambda lease_id: _api.renew_permits(name, lease_id),
            release=lambda lease_id: _api.release_permits(name, lease_id),
        )

    def forget(self) -> None:
        """After a fork: the permits are the parent's."""
        self.held.clear()

    def _configure(self) -> Steps[None]:
        if not self.client.prepared("semaphore", self.name, str(self.value)):
            yield from send(_api.configure_semaphore(self.name, {"permits": self.value}))
            self.client.note_prepared("semaphore", self.name, str(self.value))

    def acquire(self, timeout: float | None) -> Steps[bool]:
        """Whether there was a permit in time."""
        owner = self.me()
        yield from self._configure()
        try:
            granted = yield from stand_in_line(self.terms, timeout)
        except NotConfigured:  # somebody deleted it meanwhile
            self.client.unprepare("semaphore", self.name, str(self.value))
            yield from self._configure()
            granted = yield from stand_in_line(self.terms, timeout)
        if granted is None:
            return False
        self.held.append((owner, granted[0]))
        keeper.keep(granted[0])
        return True

    def release(self, count: int = 1, failing: bool = False) -> Steps[None]:
        """Gives back so many: this thread's own first, then the oldest."""
        if count < 1:
            raise ValueError("n must be one or more")
        if count > len(self.held):
            raise ValueError("Semaphore released too many times")
        me = self.me()
        leases = [self._take(me) for _ in range(count)]
        lost = False
        for lease in leases:
            keeper.drop(lease)
            lost |= not lease.end()
            try:
                yield from send(self.terms.release(lease.lease_id))
            except LeaseLost:
                lost = True
        if lost:
            if self.strict and not failing:
                raise lease_lost(f"a permit of {self.name!r}")
            _log.warning("a permit of %r was not held to the end", self.name)

    def _take(self, me: Hashable) -> Lease:
        own = next((pair for pair in self.held if pair[0] == me), self.held[0])
        self.held.remove(own)
        return own[1]

    def locked(self) -> Steps[bool]:
        """Whether somebody who came now would wait."""
        yield from self._configure()
        state = (yield from send(_api.get_semaphore(self.name))).json()
        taken = sum(holder["permits"] for holder in state["holders"])
        free = state.get("available", state["permits"] - taken)  # an older server shows the first 100 holders only
        return bool(free < 1 or state["waiting"] > 0)


def _abandon(held: list[tuple[Hashable, Lease]]) -> None:
    keeper.abandon([lease for _, lease in held])
