"""What becomes of tasks and workflows: handles that can be asked, waited for and awaited."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _api
from ._call import Steps
from ._retry import send
from ._work import ENDED, Document, ended_task, ended_workflow, task, task_result, workflow_results

if TYPE_CHECKING:
    from .app import App

R = TypeVar("R")

# In Celery's words.
_STATUS = {
    "scheduled": "PENDING",
    "waiting": "PENDING",
    "queued": "PENDING",
    "running": "STARTED",
    "succeeded": "SUCCESS",
    "failed": "FAILURE",
    "cancelled": "REVOKED",
    "expired": "REVOKED",
}


class _Handle(Generic[R]):
    def __init__(self, handle_id: str, app: "App") -> None:
        self.id = handle_id
        self._app = app

    def _value(self, timeout: float | None) -> Steps[R]:
        raise NotImplementedError

    def get(self, timeout: float | None = None) -> R:
        """What came of it. TimeoutError if the time was over first, and the task's error if it failed."""
        return self._app.client.run(self._value(timeout))

    async def aget(self, timeout: float | None = None) -> R:
        """As `get`, awaited."""
        return await self._app.async_client.run(self._value(timeout))

    def __await__(self) -> Generator[Any, Any, R]:
        return self.aget().__await__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"


class AsyncResult(_Handle[R]):
    """One task. An id that is not known is TaskNotFound, and never pending for ever."""

    def _value(self, timeout: float | None) -> Steps[R]:
        return task_result(self.id, timeout)

    def wait(self, timeout: float | None = None) -> "AsyncResult[R]":
        """Waits for its end, whatever that is."""
        self._app.client.run(ended_task(self.id, timeout))
        return self

    @property
    def info(self) -> Document:
        """All that the server tells of it."""
        return self._app.client.run(task(self.id))

    @property
    def state(self) -> str:
        """scheduled, waiting, queued, running, succeeded, failed, cancelled or expired."""
        return str(self.info["state"])

    @property
    def status(self) -> str:
        """The state in Celery's words."""
        return _STATUS[self.state]

    @property
    def result(self) -> R | Exception | None:
        """What it returned; its error, if it failed; None while it has not ended."""
        if not self.ready():
            return None
        try:
            return self.get(0)
        except Exception as error:
            return error

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    def successful(self) -> bool:
        """Whether it has ended with a result."""
        return self.state == "succeeded"

    def failed(self) -> bool:
        """Whether it has failed for good."""
        return self.state == "failed"

    def revoke(self) -> None:
        """Cancels it: at once if it has not started, else its worker is asked to stop."""
        self._app.client.run(send(_api.cancel_task(self.id)))

    def forget(self) -> None:
        """Removes it and its result; it must have ended."""
        self._app.client.run(send(_api.delete_task(self.id)))


class WorkflowResult(_Handle[R]):
    """A workflow of which one result is wanted: that of the last task of a chain, or of a chord's body."""

    def _value(self, timeout: float | None) -> Steps[R]:
        results = yield from workflow_results(self.id, timeout)
        value = results[-1]
        if isinstance(value, Exception):
            raise value
        return cast(R, value)

    @property
    def info(self) -> Document:
        """All that the server tells of it, with its first tasks."""
        return cast(Document, self._app.client.call(_api.get_workflow(self.id)).json())

    @property
    def state(self) -> str:
        """running, succeeded, failed or cancelled."""
        return str(self.info["state"])

    def wait(self, timeout: float | None = None) -> None:
        """Waits for its end, whatever that is."""
        self._app.client.run(ended_workflow(self.id, timeout))

    def ready(self) -> bool:
        """Whether all of it has ended."""
        return self.state != "running"

    def successful(self) -> bool:
        """Whether it has ended with a result."""
        return self.state == "succeeded"

    def failed(self) -> bool:
        """Whether it has failed."""
        return self.state == "failed"

    def revoke(self) -> None:
        """Cancels what has not started, and asks the rest to stop."""
        self._app.client.run(send(_api.cancel_workflow(self.id)))


class GroupResult(WorkflowResult[list[R]], Generic[R]):
    """A workflow of which all results are wanted, in order."""

    def _value(self, timeout: float | None) -> Steps[list[R]]:
        return workflow_results(self.id, timeout)

    def join(self, timeout: float | None = None) -> list[R]:
        """As `get`."""
        return self.get(timeout)
