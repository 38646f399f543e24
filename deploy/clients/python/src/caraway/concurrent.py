"""`concurrent.futures.Executor` whose functions run on workers. Futures are Python's: `wait` and `as_completed` work."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor as _Executor
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar, cast

from . import _api
from ._client import Caraway
from ._errors import CarawayError, Problem, UnsupportedByServer
from ._fork import forget_in_child
from ._ids import new_id
from ._options import Options, Wanted
from ._retry import send
from ._work import ENDED, Document, submit, task, value_of
from .app import App
from .task import Declared

P = ParamSpec("P")
R = TypeVar("R")

# So many tasks one request waits for.
WAITED_MAX = 1000
# How long a request waits: what is submitted meanwhile is not waited for before its end.
ROUND_SECONDS = 0.5


class TaskFuture(Future[R]):
    """The future of a task. `cancel` cancels the task, if it has not started."""

    def __init__(self, task_id: str, client: Caraway) -> None:
        super().__init__()
        self.task_id = task_id
        self._client = client
        # Whoever settles it then knows that the task's end is no surprise.
        self._asked_to_cancel = False

    def cancel(self) -> bool:
        """Whether it will not run."""
        if not self.done():
            self._asked_to_cancel = True
            try:
                reply = self._client.call(_api.cancel_task(self.task_id))
            except Problem:
                return False  # it has ended, or is gone
            if reply.json().get("state") != "cancelled":
                return False
        return super().cancel()

    def _ends_cancelled(self) -> None:
        """The task is known to be cancelled, perhaps before `cancel` has heard so."""
        if self._asked_to_cancel:
            super().cancel()


class Executor(_Executor):
    """Runs tasks of an app. A function is a task of it, or one that a worker knows by `<module>.<name>`; nothing is pickled."""

    def __init__(self, app: App, *, queue: str | None = None) -> None:
        self._app = app
        self._options = Options(queue=queue) if queue else Options()
        self._shut_down = False
        self._poller = _Poller(app.client)
        self._futures: set[TaskFuture[Any]] = set()
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submits it, and its future."""
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        function: Any = fn
        if isinstance(function, Declared):
            name, own = function.name, function.options
        else:
            name, own = f"{function.__module__}.{function.__qualname__}", Options()
        options = cast(Options, {**own, **self._options})
        wanted = Wanted(name, tuple(args), dict(kwargs), options)
        call = _api.submit_task(cast(Any, wanted.document()), idempotency_key=new_id())
        document = self._app.client.run(submit(call))
        future: TaskFuture[R] = TaskFuture(document["id"], self._app.client)
        with self._lock:
            self._futures.add(future)
        future.add_done_callback(self._forget)
        self._poller.watch(future)
        return future

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._futures.discard(cast("TaskFuture[Any]", future))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more. What was submitted runs on, unless it is to be cancelled."""
        self._shut_down = True
        with self._lock:
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            for future in futures:
                if not future.cancelled():
                    future.exception()


class _Poller:
    """One thread that resolves all futures of an executor; it ends when none is left."""

    def __init__(self, client: Caraway) -> None:
        self._client = client
        self.forget()
        forget_in_child(self)

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[str, TaskFuture[Any]] = {}
        self._runs = False

    def watch(self, future: TaskFuture[Any]) -> None:
        with self._lock:
            self._watched[future.task_id] = future
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="caraway-results", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                watched = {key: future for key, future in self._watched.items() if not future.done()}
                self._watched = dict(watched)
                if not watched:
                    self._runs = False
                    return
            ids = list(watched)[:WAITED_MAX]
            try:
                ended = self._ended(ids)
            except CarawayError as error:
                self._settle(watched, {key: error for key in ids})
                continue
            self._settle(watched, ended)

    def _ended(self, ids: list[str]) -> "dict[str, Document | CarawayError]":
        try:
            reply = self._client.call(_api.wait_for_tasks({"ids": ids, "until": "any"}, wait=ROUND_SECONDS))
        except UnsupportedByServer:
            return self._one_by_one(ids)
        found: dict[str, Document | CarawayError] = {}
        for entry in reply.json()["tasks"]:
            if "problem" in entry:
                found[entry["id"]] = Problem(entry["problem"], int(entry["problem"].get("status", 404)))
            elif entry.get("omitted"):
                found[entry["id"]] = self._client.run(task(entry["id"]))
            elif entry.get("state") in ENDED:
                found[entry["id"]] = entry
        return found

    def _one_by_one(self, ids: list[str]) -> "dict[str, Document | CarawayError]":
        """Of an older server: the first one is waited for, the others are looked at."""
        found: dict[str, Document | CarawayError] = {}
        for place, key in enumerate(ids):
            wait = ROUND_SECONDS if place == 0 else None
            document: Document = self._client.run(send(_api.get_task(key, wait=wait))).json()
            if document["state"] in ENDED:
                found[key] = document
        return found

    def _settle(self, watched: "dict[str, TaskFuture[Any]]", ended: "dict[str, Document | CarawayError]") -> None:
        for key, document in ended.items():
            future = watched[key]
            if not isinstance(document, CarawayError) and document.get("state") == "cancelled":
                future._ends_cancelled()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if isinstance(document, CarawayError):
                    raise document
                value = value_of(document)
            except CarawayError as error:
                future.set_exception(error)
            else:
                future.set_result(value)
