"""Renews leases: one thread for all of a process, with connections of its own.

A lease is renewed when a third of its time is over, and again every half second while that fails. Renewals go out one after
the other, each with a deadline of its own; an event loop that is blocked, or a thread pool that is full, does not matter.
"""

import atexit
import heapq
import logging
import random
import threading
from itertools import count

from ._call import Exchange
from ._clock import now
from ._errors import CarawayError
from ._fork import forget_in_child
from ._lease import Lease
from ._problems import problem_of

AGAIN_SECONDS = 0.5
# What giving leases back may take when the interpreter ends. What is left ends by its time.
EXIT_SECONDS = 2.0

_log = logging.getLogger("caraway")


class Keeper:
    """All leases of this process."""

    def __init__(self) -> None:
        self.forget()
        forget_in_child(self)
        atexit.register(self.give_all_back)

    def forget(self) -> None:
        """After a fork: the leases are the parent's, and its thread is not here."""
        self._changed = threading.Condition(threading.Lock())
        self._due: list[tuple[float, int, Lease]] = []
        self._held: dict[str, Lease] = {}
        # Appended to by finalizers, which may run anywhere: so no lock is taken for it.
        self._abandoned: list[Lease] = []
        self._order = count()
        self._thread: threading.Thread | None = None

    def keep(self, lease: Lease) -> None:
        """Renews it from now on."""
        with self._changed:
            self._held[lease.lease_id] = lease
            self._push(lease, now() + lease.ttl / 3)
            self._start()
            self._changed.notify()

    def drop(self, lease: Lease) -> None:
        """No longer renews it."""
        with self._changed:
            self._held.pop(lease.lease_id, None)

    def abandon(self, leases: list[Lease]) -> None:
        """Gives back, some time soon, what a collected object held."""
        self._abandoned.extend(leases)

    def start(self) -> None:
        """Starts the thread, if it does not run."""
        with self._changed:
            self._start()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="caraway-keeper", daemon=True)
            self._thread.start()

    def _push(self, lease: Lease, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._order), lease))

    def _run(self) -> None:
        while True:
            for lease in self._next():
                try:
                    self._renew(lease)
                except Exception:  # the thread must live: leases of others depend on it
                    _log.exception("a lease could not be renewed")

    def _next(self) -> list[Lease]:
        with self._changed:
            while True:
                if self._abandoned:
                    gone = [self._abandoned.pop() for _ in range(len(self._abandoned))]
                    for lease in gone:
                        self._held.pop(lease.lease_id, None)
                        lease.over = True
                    return gone
                while self._due and (self._due[0][2].over or self._due[0][2].lease_id not in self._held):
                    heapq.heappop(self._due)
                wait = self._due[0][0] - now() if self._due else AGAIN_SECONDS
                if self._due and wait <= 0.0:
                    return [heapq.heappop(self._due)[2]]
                # Finalizers cannot notify, so it looks for what they left.
                self._changed.wait(min(wait, AGAIN_SECONDS))

    def _renew(self, lease: Lease) -> None:
        if lease.over:
            _give_back(lease, AGAIN_SECONDS * 4)
            return
        sent = now()
        if lease.lost.is_set():
            self.drop(lease)
            return
        again = sent + AGAIN_SECONDS * random.uniform(0.8, 1.2)
        try:
            reply = lease.pool.exchange(Exchange(lease.renew(lease.lease_id), max(0.05, min(5.0, lease.ttl / 3, lease.until - sent))))
        except CarawayError:
            reply = None
        if reply is not None and reply.status == 200:
            lease.until = sent + float(reply.json()["expires_in"])
            again = sent + min(lease.ttl, lease.until - sent) / 3
        elif reply is not None and reply.status in (404, 409, 410) and not lease.over:
            _log.warning("a lease was lost: %s", problem_of(reply))
            lease.lost.set()
            self.drop(lease)
            return
        with self._changed:
            # At its end once more, so that whoever waits for `lost` is woken.
            self._push(lease, min(again, max(lease.until, now())))

    def give_all_back(self) -> None:
        """When the interpreter ends."""
        with self._changed:
            held, self._held, self._due = list(self._held.values()), {}, []
        until = now() + EXIT_SECONDS
        for lease in held:
            if now() < until and not lease.over:
                lease.over = True
                _give_back(lease, max(0.05, until - now()))


def _give_back(lease: Lease, seconds: float) -> None:
    try:
        lease.pool.exchange(Exchange(lease.release(lease.lease_id), seconds))
    except CarawayError as error:
        _log.info("a lease was not given back, and ends by its time: %s", error)


keeper = Keeper()
