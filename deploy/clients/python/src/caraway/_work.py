"""Steps of tasks: to submit them, to wait for their ends, and what came of them."""

from typing import Any, cast

from . import _api
from ._call import Call, Steps
from ._errors import Problem
from ._line import Deadline
from ._problems import BY_CODE, ResultNotKept, TaskNotFinished, WorkflowNotFinished
from ._retry import send

ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})

Document = dict[str, Any]


def submit(call: Call) -> Steps[Document]:
    """The document of what was accepted."""
    return cast(Document, (yield from send(call)).json())


def task(task_id: str) -> Steps[Document]:
    """How a task stands."""
    return cast(Document, (yield from send(_api.get_task(task_id))).json())


def ended_task(task_id: str, timeout: float | None) -> Steps[Document]:
    """Its document when it has ended. TaskNotFinished, a TimeoutError, if the time was over first."""
    deadline = Deadline(timeout)
    while True:
        document: Document = (yield from send(_api.get_task(task_id, wait=deadline.wait()))).json()
        if document["state"] in ENDED:
            return document
        if deadline.over():
            raise TaskNotFinished(_problem("task_not_finished", f"the task is {document['state']}"), 409)


def task_result(task_id: str, timeout: float | None) -> Steps[Any]:
    """What it returned; its error is raised."""
    return value_of((yield from ended_task(task_id, timeout)))


def value_of(document: Document) -> Any:
    """What an ended task returned; its error is raised."""
    if document["state"] != "succeeded":
        raise task_error(document["state"], document.get("error"))
    if document.get("store_result") is False:
        raise ResultNotKept(_problem("result_not_kept", "the task succeeded, and keeps no result"), 409)
    return document.get("result")


def task_error(state: str, error: Document | None) -> Problem:
    """The exception of a task that has ended without a result. Its `error` is what the task left."""
    code = f"task_{state}"
    error = error or {}
    detail = f"{error.get('code', state)}: {error.get('message', 'the task has no result')}"
    return BY_CODE[code]({**_problem(code, detail), "error": error, "state": state}, 409)


def ended_workflow(workflow_id: str, timeout: float | None) -> Steps[Document]:
    """Its document when all of it has ended."""
    deadline = Deadline(timeout)
    while True:
        document: Document = (yield from send(_api.get_workflow(workflow_id, wait=deadline.wait()))).json()
        if document["state"] != "running":
            return document
        if deadline.over():
            raise WorkflowNotFinished(_problem("workflow_not_finished", f"{document['counts']['open']} tasks have not ended"), 409)


def workflow_results(workflow_id: str, timeout: float | None) -> Steps[list[Any]]:
    """What its tasks returned, in their order; exceptions stand for those without a result, or the first one is raised."""
    document = yield from ended_workflow(workflow_id, timeout)
    if document["state"] != "succeeded":
        raise (yield from _first_error(workflow_id, document["state"]))
    results: list[Any] = (yield from send(_api.get_workflow_results(workflow_id))).json()
    if not document["return_exceptions"] or not any(_may_be_error(result) for result in results):
        return results
    nodes = yield from _nodes(workflow_id)
    # Of a chain and a chord the last one alone is its result.
    ends = [node["state"] for node in nodes][-len(results) :]
    return [
        result if state == "succeeded" else task_error(state, result.get("error"))
        for result, state in zip(results, ends, strict=True)
    ]


def _may_be_error(result: Any) -> bool:
    return isinstance(result, dict) and "error" in result and "state" in result


def _nodes(workflow_id: str) -> Steps[list[Document]]:
    nodes: list[Document] = []
    cursor: str | None = None
    while True:
        page = (yield from send(_api.get_workflow(workflow_id, cursor=cursor, limit=100))).json()["nodes"]
        nodes += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return nodes


def _first_error(workflow_id: str, state: str) -> Steps[Problem]:
    """That of the task that failed first, which is why the others were cancelled."""
    nodes = yield from _nodes(workflow_id)
    failed = [node for node in nodes if node["state"] in ("failed", "expired")] or [node for node in nodes if node["state"] == "cancelled"]
    failed.sort(key=lambda node: str(node["finished_at"]))
    if not failed:
        return BY_CODE[f"workflow_{state}"](_problem(f"workflow_{state}", f"the workflow is {state}"), 409)
    document = yield from task(failed[0]["task_id"])
    return task_error(document["state"], document.get("error"))


def _problem(code: str, detail: str) -> Document:
    return {"code": code, "detail": detail}
