"""A lease as its holder sees it: until when it lasts, and whether it was lost."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._call import Call
from ._clock import now
from ._problems import LeaseLost

if TYPE_CHECKING:
    from .transport.http import Pool


class Lost(threading.Event):
    """Set when the lease has ended against its holder's will. It looks at the clock itself, so it is true at once when a
    process that was frozen goes on."""

    def __init__(self, lease: "Lease") -> None:
        super().__init__()
        self._lease = lease

    def is_set(self) -> bool:
        if not super().is_set() and not self._lease.over and now() >= self._lease.until:
            self.set()
        return super().is_set()


class Lease:
    """Held, until it is given back or lost."""

    def __init__(
        self,
        lease_id: str,
        fence: int,
        until: float,
        ttl: float,
        pool: "Pool",
        renew: Callable[[str], Call],
        release: Callable[[str], Call],
    ) -> None:
        self.lease_id = lease_id
        self.fence = fence
        # Counted from before the request was sent.
        self.until = until
        self.ttl = ttl
        self.pool = pool
        self.renew = renew
        self.release = release
        # Given back, or about to be: it can no longer be lost.
        self.over = False
        self.lost = Lost(self)

    def end(self) -> bool:
        """Whether it was held until now. From now on nobody renews it."""
        held = not self.lost.is_set()
        self.over = True
        return held


def lease_lost(what: str) -> LeaseLost:
    """The exception for a lease that is known to be lost without asking the server."""
    detail = f"{what} was not held to the end: its lease ended, and others may have had it meanwhile"
    return LeaseLost({"code": "lease_lost", "detail": detail}, 410)
