"""Locks: what `threading.Lock` and `asyncio.Lock` have in common, and what re-entrant ones have."""

import logging
import weakref
from collections.abc import Callable, Hashable

from . import _api
from ._call import Steps
from ._client import Client
from ._fork import forget_in_child
from ._keeper import keeper
from ._lease import Lease, Lost, lease_lost
from ._line import Terms, stand_in_line
from ._problems import LeaseLost
from ._retry import send

DEFAULT_TTL = 30.0

_log = logging.getLogger("caraway")


class Hold:
    """That somebody holds a lock: whose it is, and how often."""

    def __init__(self, owner: Hashable, lease: Lease, count: int = 1) -> None:
        self.owner = owner
        self.lease = lease
        self.count = count


class Holds:
    """All holds of one lock by this process. When nobody can reach it any more, they are given back."""

    def __init__(self) -> None:
        self.all: list[Hold] = []
        forget_in_child(self)
        weakref.finalize(self, _abandon, self.all)

    def forget(self) -> None:
        """After a fork: they are the parent's, and neither this release nor this finalizer ends them."""
        self.all.clear()

    def of(self, owner: Hashable) -> Hold | None:
        """The latest hold of this thread or task."""
        return next((hold for hold in reversed(self.all) if hold.owner == owner), None)


def _abandon(holds: list[Hold]) -> None:
    keeper.abandon([hold.lease for hold in holds])


class Mutex:
    """A lock by its name. `me` tells which thread or task asks."""

    reentrant = False

    def __init__(self, name: str, client: Client, ttl: float, strict: bool, me: Callable[[], Hashable]) -> None:
        self.name = name
        self.client = client
        self.strict = strict
        self.me = me
        self.holds = self._make_holds()
        self.latest: Lease | None = None
        self.terms = Terms(
            client.pool,
            ttl,
            ask=lambda lease_id, wait: _api.acquire_lock(name, {"lease_id": lease_id, "owner": client.holder, "ttl": ttl}, wait=wait),
            renew=lambda lease_id: _api.renew_lock(name, lease_id),
            release=lambda lease_id: _api.release_lock(name, lease_id),
        )

    def _make_holds(self) -> Holds:
        return Holds()

    def acquire(self, timeout: float | None) -> Steps[bool]:
        """Whether it was acquired in time."""
        owner = self.me()
        granted = yield from stand_in_line(self.terms, timeout)
        if granted is None:
            return False
        self.attach(Hold(owner, granted[0]))
        return True

    def attach(self, hold: Hold) -> None:
        """It is held now, and kept."""
        self.latest = hold.lease
        self.holds.all.append(hold)
        keeper.keep(hold.lease)

    def pick(self) -> Hold | None:
        """The hold that a release ends: this thread's own; any, where that has none and others may give it back."""
        return self.holds.of(self.me()) or (self.holds.all[-1] if self.holds.all else None)

    def detach(self, hold: Hold) -> bool:
        """It is not held any more, and not renewed. Whether it was held until now."""
        self.holds.all.remove(hold)
        keeper.drop(hold.lease)
        return hold.lease.end()

    def release(self, failing: bool = False) -> Steps[None]:
        """Gives it back. `failing`: an exception is on its way, which a lost lease must not hide."""
        hold = self.pick()
        if hold is None:
            raise RuntimeError(self.not_held())
        if hold.count > 1:
            hold.count -= 1
            return
        held = self.detach(hold)
        try:
            yield from send(self.terms.release(hold.lease.lease_id))
        except LeaseLost:
            held = False
        if not held:
            hold.lease.lost.set()
            if self.strict and not failing:
                raise lease_lost(f"the lock {self.name!r}")
            _log.warning("the lock %r was not held to the end", self.name)

    def not_held(self) -> str:
        """What Python says of it."""
        return "cannot release un-acquired lock" if self.reentrant else "release unlocked lock"

    def locked(self) -> Steps[bool]:
        """Whether anybody holds it."""
        reply = yield from send(_api.get_lock(self.name))
        return bool(reply.json()["holders"])

    def lease(self) -> Lease:
        """The lease of this thread or task, else the latest of this object."""
        own = self.holds.of(self.me())
        lease = own.lease if own else self.latest
        if lease is None:
            raise RuntimeError(f"the lock {self.name!r} has not been acquired")
        return lease


class Reentrant(Mutex):
    """A lock that a thread or task may acquire again. Objects of one client with the same name are one lock.

    How often it is held is counted here: the server knows one lease.
    """

    reentrant = True

    def _make_holds(self) -> Holds:
        holds: Holds = self.client.shared(self.name, Holds)
        return holds

    def acquire(self, timeout: float | None) -> Steps[bool]:
        hold = self.holds.of(self.me())
        if hold is None:
            return (yield from super().acquire(timeout))
        if hold.lease.lost.is_set():
            raise lease_lost(f"the lock {self.name!r}")
        hold.count += 1
        return True

    def pick(self) -> Hold | None:
        return self.holds.of(self.me())


class LockView:
    """What every lock shows of its lease."""

    _mutex: Mutex

    @property
    def name(self) -> str:
        """Its name, which all processes share."""
        return self._mutex.name

    @property
    def fence(self) -> int:
        """Greater than that of everybody who held it before. Pass it to whatever you write to."""
        return self._mutex.lease().fence

    @property
    def lost(self) -> Lost:
        """Set when the lease has ended while you held it: stop, others may hold the lock."""
        return self._mutex.lease().lost

    def __repr__(self) -> str:
        state = "locked" if self._mutex.holds.all else "unlocked"
        kind = type(self)
        return f"<{state} {kind.__module__}.{kind.__qualname__} object {self.name!r} at {id(self):#x}>"
