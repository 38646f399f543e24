"""Standing in a line for a lease, and leaving it: the same for locks, permits and items."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ._call import WAIT_MAX, Call, Reply, Steps
from ._clock import now
from ._errors import CarawayError
from ._ids import new_id
from ._lease import Lease
from ._problems import LeaseLost, WouldBlock
from ._retry import send
from .transport.http import Pool

# For so long somebody who leaves tries to say so. If it fails, the place is lost by itself within seconds.
LEAVE_SECONDS = 2.0

_log = logging.getLogger("caraway")


class Deadline:
    """Until when somebody waits: for ever, where no timeout is given."""

    def __init__(self, timeout: float | None) -> None:
        self._until = None if timeout is None else now() + timeout

    def wait(self) -> float:
        """What the next request may ask the server to wait."""
        return WAIT_MAX if self._until is None else max(0.0, min(WAIT_MAX, self._until - now()))

    def left(self) -> float | None:
        """Seconds; None for ever."""
        return None if self._until is None else max(0.0, self._until - now())

    def over(self) -> bool:
        """Whether the time is over."""
        return self._until is not None and now() >= self._until


class Terms:
    """How a lease of one object is asked for, renewed and given back."""

    def __init__(
        self,
        pool: Pool,
        ttl: float,
        ask: Callable[[str, float | None], Call],
        renew: Callable[[str], Call] | None,
        release: Callable[[str], Call],
    ) -> None:
        self.pool = pool
        self.ttl = ttl
        self.ask = ask
        self.renew = renew
        self.release = release

    def lease(self, lease_id: str, answer: dict[str, Any], sent: float) -> Lease:
        """The lease that an answer tells of."""
        until = sent + float(answer["expires_in"])
        return Lease(lease_id, int(answer["fence"]), until, self.ttl, self.pool, self.renew or self.release, self.release)


def stand_in_line(terms: Terms, timeout: float | None) -> Steps[tuple[Lease, dict[str, Any]] | None]:
    """The lease and the answer that granted it, or None if the time was over first. With a timeout of 0 it does not wait."""
    deadline = Deadline(timeout)
    lease_id = new_id()
    try:
        while True:
            sent = now()
            try:
                reply = yield from send(terms.ask(lease_id, None if timeout == 0 else deadline.wait()))
            except WouldBlock:
                return None
            except LeaseLost:
                # The place was forgotten, for the server did not hear from here for some time: at the end of the line again.
                lease_id = new_id()
                if deadline.over():
                    return None
                continue
            if reply.status == 200:
                return (yield from adopt(terms, lease_id, reply, sent)), reply.json()
            if reply.status == 204:
                return None
            if deadline.over():
                yield from leave(terms.release(lease_id))
                return None
    except GeneratorExit:
        raise
    except BaseException:
        yield from leave(terms.release(lease_id))
        raise


def adopt(terms: Terms, lease_id: str, reply: Reply, sent: float) -> Steps[Lease]:
    """The lease that was granted. After a long wait nobody knows when it was: then it is renewed at once."""
    answer = reply.json()
    if terms.renew is not None and now() - sent > terms.ttl / 3:
        sent = now()
        answer = {**answer, **(yield from send(terms.renew(lease_id))).json()}
    return terms.lease(lease_id, answer, sent)


def leave(call: Call) -> Steps[Reply | None]:
    """Gives a place or a lease back, as well as it goes: None if it did not."""
    try:
        return (yield from send(replace(call, give_up_after=LEAVE_SECONDS)))
    except CarawayError as error:
        _log.info("a place in a line was not given back, and ends by its time: %s", error)
        return None
