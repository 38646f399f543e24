"""Events: a flag with a number that rises each time it is set, so that nobody misses a pulse."""

from . import _api
from ._call import Steps
from ._client import Client
from ._line import Deadline
from ._retry import send


class Flag:
    """An event by its name."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client
        self._tells = False

    def is_set(self) -> Steps[bool]:
        """Whether it is set now."""
        return bool((yield from send(_api.get_event(self.name))).json()["set"])

    def set(self) -> Steps[None]:
        """Sets it, and wakes all who wait."""
        yield from send(_api.set_event(self.name))

    def clear(self) -> Steps[None]:
        """Clears it."""
        yield from send(_api.clear_event(self.name))

    def wait(self, timeout: float | None) -> Steps[bool]:
        """Whether it was set, at any moment from now until the time is over."""
        deadline = Deadline(timeout)
        # A server that says whether it fired since the request came needs to be asked once only.
        wait = deadline.wait() if self._tells else None
        state = (yield from send(_api.get_event(self.name, wait=wait))).json()
        self._tells = "fired" in state
        since = int(state["generation"])
        while not (state["set"] or state.get("fired") or state["generation"] > since):
            if deadline.over():
                return False
            state = (yield from send(_api.get_event(self.name, wait=deadline.wait(), since=since))).json()
        return True
