"""Conditions: to wait gives the lock back and stands in its line again, in one step of the server."""

from . import _api, _types
from ._call import WAIT_MAX, Steps
from ._clock import now
from ._errors import CarawayError
from ._ids import new_id
from ._lease import Lease, lease_lost
from ._line import Deadline, Terms, adopt, leave, stand_in_line
from ._mutex import Hold, Mutex
from ._problems import LeaseLost, UnknownField
from ._retry import send

# So many waiters one request moves.
NOTIFY_MAX = 1000
# So many can wait.
WAITERS_MAX = 10_000


class Waiters:
    """A condition by its name, with the lock that guards what is waited for."""

    def __init__(self, name: str, mutex: Mutex) -> None:
        self.name = name
        self.mutex = mutex

    def wait(self, timeout: float | None) -> Steps[bool]:
        """Whether it was notified in time. The lock is held again, with a new fence."""
        mutex = self.mutex
        hold = mutex.pick()
        if hold is None:
            raise RuntimeError("cannot wait on un-acquired lock")
        if not mutex.detach(hold):
            mutex.attach(hold)
            raise lease_lost(f"the lock {mutex.name!r}")
        wait_id = new_id()
        try:
            lease, notified = yield from self._park(hold.lease, wait_id, timeout)
        except GeneratorExit:
            raise
        except CarawayError:
            # Whether the lock is held is not known. So it counts as lost, and whoever leaves it hears so.
            hold.lease.over = False
            hold.lease.lost.set()
            mutex.holds.all.append(hold)
            raise
        except BaseException:
            yield from self._return_to_lock(hold, wait_id)
            raise
        mutex.attach(Hold(hold.owner, lease, hold.count))
        return notified

    def _park(self, lease: Lease, wait_id: str, timeout: float | None) -> Steps[tuple[Lease, bool]]:
        deadline = Deadline(timeout)
        terms, client = self.mutex.terms, self.mutex.client
        ids: _types.NewConditionWait = {"lock": self.mutex.name, "lease_id": lease.lease_id, "wait_id": wait_id}
        first = True
        while True:
            sent = now()
            timed = timeout is not None and not client.lacks("timed waits")
            body: _types.NewConditionWait = {**ids, "timeout": timeout} if timed else ids
            try:
                # It is told the lock's answer at the end of its own time limit, however long the line is.
                reply = yield from send(_api.wait_on_condition(self.name, body, wait=WAIT_MAX if timed else deadline.wait()))
            except UnknownField:
                client.note_lack("timed waits")
                continue
            except LeaseLost:
                if first and now() - sent < 1.0:
                    raise
                # The place was forgotten while the server was out of reach. It counts as a wake-up without a reason.
                return (yield from self._again(terms)), True
            first = False
            if reply.status == 200:
                notified = bool(reply.json().get("notified", True))
                return (yield from adopt(terms, wait_id, reply, sent)), notified
            if not timed and deadline.over():
                answer = yield from leave(terms.release(wait_id))
                notified = answer is not None and answer.status == 200
                return (yield from self._again(terms)), notified

    def _again(self, terms: Terms) -> Steps[Lease]:
        granted = yield from stand_in_line(terms, None)
        assert granted is not None
        return granted[0]

    def _return_to_lock(self, hold: Hold, wait_id: str) -> Steps[None]:
        """After Ctrl-C or a cancellation: Python's condition has its lock again, whatever ends the wait."""
        answer = yield from leave(self.mutex.terms.release(wait_id))
        lease = yield from self._again(self.mutex.terms)
        self.mutex.attach(Hold(hold.owner, lease, hold.count))
        if answer is not None and answer.status == 200:
            yield from self.notify(1)  # it was meant for somebody who can act on it

    def notify(self, count: int) -> Steps[None]:
        """Wakes so many, if so many wait. A repeated request may wake one more, who looks and waits again."""
        hold = self.mutex.pick()
        if hold is None:
            raise RuntimeError("cannot notify on un-acquired lock")
        while count > 0:
            part = min(count, NOTIFY_MAX)
            body: _types.Notify = {"lock": self.mutex.name, "lease_id": hold.lease.lease_id, "count": part}
            reply = yield from send(_api.notify_condition(self.name, body))
            if reply.json()["notified"] < part:
                return
            count -= part

    def notify_all(self) -> Steps[None]:
        """Wakes all who wait: as many as there can be."""
        return self.notify(WAITERS_MAX)
