"""Barriers: arrivals that all pass together, or all hear that the barrier is broken."""

import threading

from . import _api, _types
from ._call import Steps
from ._client import Client
from ._errors import Problem
from ._ids import new_id
from ._line import Deadline, leave
from ._problems import LeaseLost, NotConfigured
from ._retry import send


class Party:
    """A barrier by its name."""

    def __init__(self, name: str, parties: int, timeout: float | None, client: Client) -> None:
        if parties < 1:
            raise ValueError("parties must be >= 1")
        self.name = name
        self.parties = parties
        self.timeout = timeout
        self.client = client

    def configure(self) -> Steps[None]:
        """Once for each client, so that there is one to arrive at."""
        if not self.client.prepared("barrier", self.name, str(self.parties)):
            yield from send(_api.configure_barrier(self.name, {"parties": self.parties}))
            self.client.note_prepared("barrier", self.name, str(self.parties))

    def wait(self, timeout: float | None) -> Steps[int]:
        """Which of the arrivals this was, from 0. If the time is over first, the barrier is broken for all."""
        timeout = self.timeout if timeout is None else timeout
        yield from self.configure()
        arrival_id = new_id()
        body: _types.NewArrival = {"arrival_id": arrival_id}
        if timeout is not None:
            body["timeout"] = max(timeout, 0.0)
        try:
            while True:
                # The server ends the wait by its own clock; it is asked for a little more, to hear of it in one request.
                wait = Deadline(None if timeout is None else timeout + 1.0).wait()
                reply = yield from send(_api.arrive_at_barrier(self.name, body, wait=wait))
                if reply.status == 200:
                    return int(reply.json()["index"])
        except GeneratorExit:
            raise
        except NotConfigured:  # somebody deleted it; whoever stood at it is told so, and comes again
            self.client.unprepare("barrier", self.name, str(self.parties))
            raise
        except LeaseLost as error:
            raise threading.BrokenBarrierError(str(error)) from error
        except Problem as error:
            raise _broken(error) from error
        except BaseException:
            # One that is not waited with any more must not count for others.
            yield from leave(_api.withdraw_arrival(self.name, arrival_id))
            raise

    def abort(self) -> Steps[None]:
        """Breaks it: who waits, and who comes before a reset, gets BrokenBarrierError."""
        yield from self.configure()
        yield from send(_api.abort_barrier(self.name))

    def reset(self) -> Steps[None]:
        """Empties it. Who waits gets BrokenBarrierError."""
        yield from self.configure()
        yield from send(_api.reset_barrier(self.name))

    def state(self) -> Steps[tuple[int, bool]]:
        """How many wait, and whether it is broken."""
        yield from self.configure()
        state = (yield from send(_api.get_barrier(self.name))).json()
        return int(state["arrived"]), bool(state.get("broken"))


def _broken(error: Problem) -> Exception:
    if error.code == "broken_barrier" and not isinstance(error, threading.BrokenBarrierError):
        return threading.BrokenBarrierError(error.detail)
    return error
