"""One exception for each code of a problem document, each also what Python code expects to catch."""

# Made by deploy/clients/generate of api/openapi.json, as long as that is: change neither by hand.

import queue
import threading
from typing import Any, cast

from ._call import Reply
from ._errors import Problem
from ._shutdown import ShutDown


class BadRequest(Problem):
    """The request makes no sense"""

    code = "bad_request"


class EmptyBody(Problem):
    """The body is empty"""

    code = "empty_body"


class MalformedJson(Problem, ValueError):
    """The body is not well-formed JSON"""

    code = "malformed_json"


class Unauthorized(Problem, PermissionError):
    """A valid API key is needed"""

    code = "unauthorized"


class MissingScope(Problem, PermissionError):
    """The key lacks a scope"""

    code = "missing_scope"


class QueueForbidden(Problem, PermissionError):
    """The key is not for this queue"""

    code = "queue_forbidden"


class ForeignHost(Problem, PermissionError):
    """This service does not have this name"""

    code = "foreign_host"


class ForeignOrigin(Problem, PermissionError):
    """A page of another site asks"""

    code = "foreign_origin"


class NotFound(Problem):
    """There is nothing here"""

    code = "not_found"


class TaskNotFound(Problem, LookupError):
    """There is no such task"""

    code = "task_not_found"


class WorkflowNotFound(Problem, LookupError):
    """There is no such workflow"""

    code = "workflow_not_found"


class ItemNotFound(Problem, LookupError):
    """There is no such item"""

    code = "item_not_found"


class DataNotFound(Problem, KeyError):
    """There is no such value"""

    code = "data_not_found"


class UserNotFound(Problem, LookupError):
    """There is no such user"""

    code = "user_not_found"


class ApiKeyNotFound(Problem, LookupError):
    """There is no such API key"""

    code = "api_key_not_found"


class MethodNotAllowed(Problem):
    """method_not_allowed"""

    code = "method_not_allowed"


class BodyTimeout(Problem, TimeoutError):
    """The body did not come in time"""

    code = "body_timeout"


class TaskNotFinished(Problem, TimeoutError):
    """The task is not finished"""

    code = "task_not_finished"


class TaskFailed(Problem):
    """The task has failed"""

    code = "task_failed"


class TaskCancelled(Problem):
    """The task was cancelled"""

    code = "task_cancelled"


class TaskExpired(Problem):
    """The task was not started in time"""

    code = "task_expired"


class ResultNotKept(Problem):
    """The task keeps no result"""

    code = "result_not_kept"


class TaskAlreadyFinished(Problem):
    """The task is already finished"""

    code = "task_already_finished"


class TaskNotScheduled(Problem):
    """The task is not scheduled"""

    code = "task_not_scheduled"


class TaskInWorkflow(Problem):
    """The task belongs to a workflow"""

    code = "task_in_workflow"


class WorkflowNotFinished(Problem, TimeoutError):
    """The workflow is not finished"""

    code = "workflow_not_finished"


class WorkflowFailed(Problem):
    """The workflow has failed"""

    code = "workflow_failed"


class WorkflowCancelled(Problem):
    """The workflow was cancelled"""

    code = "workflow_cancelled"


class WorkflowAlreadyFinished(Problem):
    """The workflow is already finished"""

    code = "workflow_already_finished"


class DuplicateTask(Problem):
    """Another task like this one exists"""

    code = "duplicate_task"


class Contended(Problem):
    """Others are changing it right now"""

    code = "contended"


class NameTaken(Problem):
    """The name is taken"""

    code = "name_taken"


class OperatorStays(Problem):
    """The operator cannot be disabled"""

    code = "operator_stays"


class TooManyKeys(Problem):
    """There are too many API keys"""

    code = "too_many_keys"


class IdempotencyInFlight(Problem):
    """A request with this key is in flight"""

    code = "idempotency_in_flight"


class IdempotencyKeyReused(Problem):
    """The key belongs to another request"""

    code = "idempotency_key_reused"


class InvalidIdempotencyKey(Problem):
    """The idempotency key is not valid"""

    code = "invalid_idempotency_key"


class PreconditionFailed(Problem):
    """It has changed meanwhile"""

    code = "precondition_failed"


class BodyTooLarge(Problem, ValueError):
    """The body is too large"""

    code = "body_too_large"


class InputTooLarge(Problem, ValueError):
    """The task's arguments are too large"""

    code = "input_too_large"


class UnsupportedMediaType(Problem):
    """The media type is not supported"""

    code = "unsupported_media_type"


class UnfitForm(Problem):
    """The form cannot be taken as an item"""

    code = "unfit_form"


class RangeNotSatisfiable(Problem):
    """The content has no such range"""

    code = "range_not_satisfiable"


class ContentTypeMismatch(Problem):
    """The content is of another type than declared"""

    code = "content_type_mismatch"


class InvalidRequest(Problem, ValueError):
    """The request is not valid"""

    code = "invalid_request"


class UnknownField(Problem, ValueError):
    """There is no such field"""

    code = "unknown_field"


class UnknownParameter(Problem, ValueError):
    """There is no such parameter"""

    code = "unknown_parameter"


class UnsupportedSearch(Problem):
    """Tasks cannot be searched like this"""

    code = "unsupported_search"


class NulCharacter(Problem, ValueError):
    """A string holds the character U+0000"""

    code = "nul_character"


class NestedTooDeep(Problem, ValueError):
    """The JSON nests too deep"""

    code = "nested_too_deep"


class UnknownTask(Problem, LookupError):
    """There is no such task type"""

    code = "unknown_task"


class UnknownQueue(Problem, LookupError):
    """There is no such queue"""

    code = "unknown_queue"


class InvalidArguments(Problem, TypeError):
    """The task does not take these arguments"""

    code = "invalid_arguments"


class ItemNotImage(Problem):
    """The item is not an image"""

    code = "item_not_image"


class WouldBlock(Problem, TimeoutError):
    """It is taken"""

    code = "would_block"


class LeaseLost(Problem, RuntimeError):
    """The lease has ended"""

    code = "lease_lost"


class LeaseNotFound(Problem, LookupError):
    """There is no such lease"""

    code = "lease_not_found"


class NotOwner(Problem, RuntimeError):
    """You do not hold the lease"""

    code = "not_owner"


class WrongSecret(Problem, PermissionError):
    """The lease has another secret"""

    code = "wrong_secret"


class LeaseIdReused(Problem):
    """The id belongs to another request"""

    code = "lease_id_reused"


class NotConfigured(Problem):
    """It has no settings"""

    code = "not_configured"


class NeverFits(Problem, ValueError):
    """There are not so many permits"""

    code = "never_fits"


class TooManyWaiters(Problem):
    """The line is full"""

    code = "too_many_waiters"


class TooManyHolds(Problem, RuntimeError):
    """It is held too often"""

    code = "too_many_holds"


class HeldTwice(Problem, RuntimeError):
    """It is held more than once"""

    code = "held_twice"


class BrokenBarrier(Problem, threading.BrokenBarrierError):
    """The barrier is broken"""

    code = "broken_barrier"


class QueueFull(Problem, queue.Full):
    """The queue is full"""

    code = "queue_full"


class QueueNotEmpty(Problem):
    """Items are in the queue"""

    code = "queue_not_empty"


class ItemAlreadyIn(Problem):
    """The item is in the queue"""

    code = "item_already_in"


class ItemIdReused(Problem):
    """The id belongs to another item"""

    code = "item_id_reused"


class QueueShutDown(Problem, ShutDown):
    """The queue is shut down"""

    code = "queue_shut_down"


class PayloadTooLarge(Problem, ValueError):
    """The payload is too large"""

    code = "payload_too_large"


class LeaseInUse(Problem, RuntimeError):
    """The lease is in use"""

    code = "lease_in_use"


class RateLimited(Problem):
    """There are too many requests"""

    code = "rate_limited"


class QuotaExceeded(Problem):
    """A quota is used up"""

    code = "quota_exceeded"


class Internal(Problem, RuntimeError):
    """Something went wrong here"""

    code = "internal"


class DatabaseUnavailable(Problem, ConnectionError):
    """The database is not available"""

    code = "database_unavailable"


class DatabaseReadOnly(Problem, ConnectionError):
    """The database takes no writes"""

    code = "database_read_only"


class OutcomeUnknown(Problem, ConnectionError):
    """It is not known whether the task was accepted"""

    code = "outcome_unknown"


class Overloaded(Problem, ConnectionError):
    """There is too much to do right now"""

    code = "overloaded"


class NoWorkerYet(Problem, ConnectionError):
    """No worker has offered this yet"""

    code = "no_worker_yet"


class NotReady(Problem, ConnectionError):
    """Not ready"""

    code = "not_ready"


BY_CODE: dict[str, type[Problem]] = {
    "bad_request": BadRequest,
    "empty_body": EmptyBody,
    "malformed_json": MalformedJson,
    "unauthorized": Unauthorized,
    "missing_scope": MissingScope,
    "queue_forbidden": QueueForbidden,
    "foreign_host": ForeignHost,
    "foreign_origin": ForeignOrigin,
    "not_found": NotFound,
    "task_not_found": TaskNotFound,
    "workflow_not_found": WorkflowNotFound,
    "item_not_found": ItemNotFound,
    "data_not_found": DataNotFound,
    "user_not_found": UserNotFound,
    "api_key_not_found": ApiKeyNotFound,
    "method_not_allowed": MethodNotAllowed,
    "body_timeout": BodyTimeout,
    "task_not_finished": TaskNotFinished,
    "task_failed": TaskFailed,
    "task_cancelled": TaskCancelled,
    "task_expired": TaskExpired,
    "result_not_kept": ResultNotKept,
    "task_already_finished": TaskAlreadyFinished,
    "task_not_scheduled": TaskNotScheduled,
    "task_in_workflow": TaskInWorkflow,
    "workflow_not_finished": WorkflowNotFinished,
    "workflow_failed": WorkflowFailed,
    "workflow_cancelled": WorkflowCancelled,
    "workflow_already_finished": WorkflowAlreadyFinished,
    "duplicate_task": DuplicateTask,
    "contended": Contended,
    "name_taken": NameTaken,
    "operator_stays": OperatorStays,
    "too_many_keys": TooManyKeys,
    "idempotency_in_flight": IdempotencyInFlight,
    "idempotency_key_reused": IdempotencyKeyReused,
    "invalid_idempotency_key": InvalidIdempotencyKey,
    "precondition_failed": PreconditionFailed,
    "body_too_large": BodyTooLarge,
    "input_too_large": InputTooLarge,
    "unsupported_media_type": UnsupportedMediaType,
    "unfit_form": UnfitForm,
    "range_not_satisfiable": RangeNotSatisfiable,
    "content_type_mismatch": ContentTypeMismatch,
    "invalid_request": InvalidRequest,
    "unknown_field": UnknownField,
    "unknown_parameter": UnknownParameter,
    "unsupported_search": UnsupportedSearch,
    "nul_character": NulCharacter,
    "nested_too_deep": NestedTooDeep,
    "unknown_task": UnknownTask,
    "unknown_queue": UnknownQueue,
    "invalid_arguments": InvalidArguments,
    "item_not_image": ItemNotImage,
    "would_block": WouldBlock,
    "lease_lost": LeaseLost,
    "lease_not_found": LeaseNotFound,
    "not_owner": NotOwner,
    "wrong_secret": WrongSecret,
    "lease_id_reused": LeaseIdReused,
    "not_configured": NotConfigured,
    "never_fits": NeverFits,
    "too_many_waiters": TooManyWaiters,
    "too_many_holds": TooManyHolds,
    "held_twice": HeldTwice,
    "broken_barrier": BrokenBarrier,
    "queue_full": QueueFull,
    "queue_not_empty": QueueNotEmpty,
    "item_already_in": ItemAlreadyIn,
    "item_id_reused": ItemIdReused,
    "queue_shut_down": QueueShutDown,
    "payload_too_large": PayloadTooLarge,
    "lease_in_use": LeaseInUse,
    "rate_limited": RateLimited,
    "quota_exceeded": QuotaExceeded,
    "internal": Internal,
    "database_unavailable": DatabaseUnavailable,
    "database_read_only": DatabaseReadOnly,
    "outcome_unknown": OutcomeUnknown,
    "overloaded": Overloaded,
    "no_worker_yet": NoWorkerYet,
    "not_ready": NotReady,
}


def problem_of(reply: Reply) -> Problem:
    """The exception for an answer that is none of the good ones."""
    document: dict[str, Any] = {"detail": f"the answer was {reply.status} without a problem document"}
    try:
        read = reply.json()
    except ValueError:
        read = None  # something between here and the server answered
    if isinstance(read, dict):
        document = cast("dict[str, Any]", read)
    after = reply.headers.get("retry-after", "")
    kind = BY_CODE.get(str(document.get("code")), Problem)
    return kind(document, reply.status, float(after) if after.isdigit() else None)
