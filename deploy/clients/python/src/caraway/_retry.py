"""Sends a call until it is answered: every request can be repeated, because the client has chosen its ids."""

import random

from ._call import ANSWER_MAX, Call, Exchange, Reply, Sleep, Steps
from ._clock import now
from ._errors import TransportError, UnsupportedByServer
from ._problems import problem_of

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
# For so long a call is repeated, beyond what it asks the server to wait.
PATIENCE = 30.0
_AGAIN = frozenset({408, 429, 502, 503, 504})
_AGAIN_CODES = frozenset({"contended", "idempotency_in_flight"})
# Refused for good, though its status is one of those above.
_FINAL_CODES = frozenset({"too_many_waiters", "quota_exceeded"})

# What is missing itself has a code of its own: these tell of the operation.
_NO_SUCH_ADDRESS = frozenset({"not_found", "method_not_allowed"})


def send(call: Call) -> Steps[Reply]:
    """The answer to it, if it is a good one; else the problem, raised."""
    patience = PATIENCE if call.give_up_after is None else call.give_up_after
    until = now() + call.wait + patience
    wait = FIRST_WAIT
    while True:
        try:
            seconds = call.wait + min(ANSWER_MAX, max(until - now() - call.wait, 0.05))
            reply: Reply = yield Exchange(call, seconds)
        except TransportError as error:
            if now() >= until:
                raise
            # A connection that lay idle tells nothing about the server.
            pause = 0.0 if error.reused else random.uniform(0, wait)
        else:
            if reply.status < 400:
                return reply
            problem = problem_of(reply)
            if problem.code in _NO_SUCH_ADDRESS:
                raise UnsupportedByServer(f"the server has no {call.method} {call.path}: it is older than this client") from problem
            if not _again(reply.status, problem.code):
                raise problem
            pause = max(problem.retry_after or 0.0, random.uniform(0, wait))
            if now() + pause >= until:
                raise problem
        if pause > 0.0:
            yield Sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)


def _again(status: int, code: str) -> bool:
    return (status in _AGAIN or code in _AGAIN_CODES) and code not in _FINAL_CODES
