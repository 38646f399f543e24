"""One function for each operation of the API: it makes a call, and sends nothing."""

# Made by deploy/clients/generate of api/openapi.json, as long as that is: change neither by hand.

from __future__ import annotations

from . import _types
from ._call import Call, make


def list_tasks(*, state: str | None = None, queue: str | None = None, name: str | None = None, error_code: str | None = None, tag: str | None = None, batch_id: str | None = None, created_after: str | None = None, created_before: str | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List tasks"""
    return make("GET", "/v1/tasks", query={"state": state, "queue": queue, "name": name, "error_code": error_code, "tag": tag, "batch_id": batch_id, "created_after": created_after, "created_before": created_before, "cursor": cursor, "limit": limit})


def submit_task(body: _types.Submission, *, idempotency_key: str | None = None, prefer: str | None = None, traceparent: str | None = None) -> Call:
    """Submit a task"""
    return make("POST", "/v1/tasks", headers={"Idempotency-Key": idempotency_key, "Prefer": prefer, "traceparent": traceparent}, body=body)


def submit_tasks(body: _types.Batch, *, idempotency_key: str | None = None, traceparent: str | None = None) -> Call:
    """Submit many tasks"""
    return make("POST", "/v1/tasks/batch", headers={"Idempotency-Key": idempotency_key, "traceparent": traceparent}, body=body)


def wait_for_tasks(body: _types.NewTaskWait, *, wait: float | None = None) -> Call:
    """Wait for many tasks"""
    return make("POST", "/v1/tasks/wait", query={"wait": wait}, body=body)


def get_task(id: str, *, wait: float | None = None, if_none_match: str | None = None) -> Call:
    """Show a task"""
    return make("GET", "/v1/tasks/{}", (id,), query={"wait": wait}, headers={"If-None-Match": if_none_match})


def reschedule_task(id: str, body: _types.TaskChange) -> Call:
    """Move a scheduled task"""
    return make("PATCH", "/v1/tasks/{}", (id,), body=body)


def delete_task(id: str) -> Call:
    """Delete a task"""
    return make("DELETE", "/v1/tasks/{}", (id,))


def get_task_result(id: str, *, if_none_match: str | None = None) -> Call:
    """Fetch a task's result"""
    return make("GET", "/v1/tasks/{}/result", (id,), headers={"If-None-Match": if_none_match})


def list_task_attempts(id: str) -> Call:
    """List a task's attempts"""
    return make("GET", "/v1/tasks/{}/attempts", (id,))


def cancel_task(id: str) -> Call:
    """Cancel a task"""
    return make("POST", "/v1/tasks/{}/cancel", (id,))


def retry_task(id: str, *, idempotency_key: str | None = None) -> Call:
    """Retry a task"""
    return make("POST", "/v1/tasks/{}/retry", (id,), headers={"Idempotency-Key": idempotency_key})


def retry_tasks(body: _types.Retries, *, idempotency_key: str | None = None) -> Call:
    """Retry many tasks"""
    return make("POST", "/v1/tasks/actions/retry", headers={"Idempotency-Key": idempotency_key}, body=body)


def cancel_tasks(body: _types.Cancels) -> Call:
    """Cancel many tasks"""
    return make("POST", "/v1/tasks/actions/cancel", body=body)


def list_workflows(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List workflows"""
    return make("GET", "/v1/workflows", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def submit_workflow(body: _types.Graph, *, idempotency_key: str | None = None, prefer: str | None = None, traceparent: str | None = None) -> Call:
    """Run a graph of tasks"""
    return make("POST", "/v1/workflows", headers={"Idempotency-Key": idempotency_key, "Prefer": prefer, "traceparent": traceparent}, body=body)


def submit_group(body: _types.Group, *, idempotency_key: str | None = None, prefer: str | None = None, traceparent: str | None = None) -> Call:
    """Run tasks beside each other"""
    return make("POST", "/v1/groups", headers={"Idempotency-Key": idempotency_key, "Prefer": prefer, "traceparent": traceparent}, body=body)


def submit_chain(body: _types.Chain, *, idempotency_key: str | None = None, prefer: str | None = None, traceparent: str | None = None) -> Call:
    """Run tasks one after the other"""
    return make("POST", "/v1/chains", headers={"Idempotency-Key": idempotency_key, "Prefer": prefer, "traceparent": traceparent}, body=body)


def submit_chord(body: _types.Chord, *, idempotency_key: str | None = None, prefer: str | None = None, traceparent: str | None = None) -> Call:
    """Run tasks, then one with their results"""
    return make("POST", "/v1/chords", headers={"Idempotency-Key": idempotency_key, "Prefer": prefer, "traceparent": traceparent}, body=body)


def submit_map(body: _types.Map, *, idempotency_key: str | None = None, prefer: str | None = None, traceparent: str | None = None) -> Call:
    """Run one task over many arguments"""
    return make("POST", "/v1/map", headers={"Idempotency-Key": idempotency_key, "Prefer": prefer, "traceparent": traceparent}, body=body)


def get_workflow(id: str, *, wait: float | None = None, cursor: str | None = None, limit: int | None = None, if_none_match: str | None = None) -> Call:
    """Show a workflow"""
    return make("GET", "/v1/workflows/{}", (id,), query={"wait": wait, "cursor": cursor, "limit": limit}, headers={"If-None-Match": if_none_match})


def delete_workflow(id: str, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Delete a workflow that has ended"""
    return make("DELETE", "/v1/workflows/{}", (id,), query={"user_id": user_id, "reason": reason})


def get_workflow_results(id: str, *, if_none_match: str | None = None) -> Call:
    """Fetch a workflow's results"""
    return make("GET", "/v1/workflows/{}/results", (id,), headers={"If-None-Match": if_none_match})


def cancel_workflow(id: str) -> Call:
    """Cancel a workflow"""
    return make("POST", "/v1/workflows/{}/cancel", (id,))


def retry_workflow(id: str, *, idempotency_key: str | None = None) -> Call:
    """Retry a workflow"""
    return make("POST", "/v1/workflows/{}/retry", (id,), headers={"Idempotency-Key": idempotency_key})


def list_items(*, content_type: str | None = None, created_after: str | None = None, created_before: str | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List items"""
    return make("GET", "/items", query={"content_type": content_type, "created_after": created_after, "created_before": created_before, "cursor": cursor, "limit": limit})


def upload_item(content: bytes, *, content_type: str = "application/octet-stream") -> Call:
    """Store an item"""
    return make("POST", "/items", headers={"Content-Type": content_type}, content=content)


def get_item(id: str, *, if_none_match: str | None = None) -> Call:
    """Show an item"""
    return make("GET", "/items/{}", (id,), headers={"If-None-Match": if_none_match})


def delete_item(id: str) -> Call:
    """Delete an item"""
    return make("DELETE", "/items/{}", (id,))


def get_item_content(id: str, *, if_none_match: str | None = None, range: str | None = None, if_range: str | None = None) -> Call:
    """Download an item"""
    return make("GET", "/items/{}/content", (id,), headers={"If-None-Match": if_none_match, "Range": range, "If-Range": if_range})


def process_image(id: str, body: _types.ImageOptions | None = None, *, idempotency_key: str | None = None, traceparent: str | None = None) -> Call:
    """Process a stored picture"""
    return make("POST", "/process-image/{}", (id,), headers={"Idempotency-Key": idempotency_key, "traceparent": traceparent}, body=... if body is None else body)


def get_cached_data(key: str, *, if_none_match: str | None = None) -> Call:
    """Read a value"""
    return make("GET", "/cached-data/{}", (key,), headers={"If-None-Match": if_none_match})


def update_data(key: str, body: _types.DataUpdate | None = None, *, new_value: str | None = None) -> Call:
    """Store a value"""
    return make("POST", "/update-data/{}", (key,), query={"new_value": new_value}, body=... if body is None else body)


def get_data(key: str, *, if_none_match: str | None = None) -> Call:
    """Show a value"""
    return make("GET", "/v1/data/{}", (key,), headers={"If-None-Match": if_none_match})


def put_data(key: str, body: _types.NewData, *, if_match: str | None = None, if_none_match: str | None = None) -> Call:
    """Store a value under a condition"""
    return make("PUT", "/v1/data/{}", (key,), headers={"If-Match": if_match, "If-None-Match": if_none_match}, body=body)


def delete_data(key: str, *, if_match: str | None = None, if_none_match: str | None = None) -> Call:
    """Delete a value"""
    return make("DELETE", "/v1/data/{}", (key,), headers={"If-Match": if_match, "If-None-Match": if_none_match})


def acquire_lock(name: str, body: _types.NewLockLease | None = None, *, wait: float | None = None, lease_secret: str | None = None) -> Call:
    """Acquire a lock"""
    return make("POST", "/v1/locks/{}/leases", (name,), query={"wait": wait}, headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def renew_lock(name: str, lease_id: str, body: _types.Renewal | None = None, *, lease_secret: str | None = None) -> Call:
    """Renew a lock"""
    return make("PUT", "/v1/locks/{}/leases/{}", (name, lease_id,), headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def release_lock(name: str, lease_id: str, *, lease_secret: str | None = None) -> Call:
    """Release a lock"""
    return make("DELETE", "/v1/locks/{}/leases/{}", (name, lease_id,), headers={"Lease-Secret": lease_secret})


def get_lock(name: str, *, user_id: int | None = None) -> Call:
    """Show a lock"""
    return make("GET", "/v1/locks/{}", (name,), query={"user_id": user_id})


def delete_lock(name: str, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Delete a lock"""
    return make("DELETE", "/v1/locks/{}", (name,), query={"user_id": user_id, "reason": reason})


def list_locks(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the locks in use"""
    return make("GET", "/v1/locks", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def break_lock(name: str, body: _types.BrokenLease, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Break a lock"""
    return make("POST", "/v1/locks/{}/break", (name,), query={"user_id": user_id, "reason": reason}, body=body)


def get_semaphore(name: str, *, user_id: int | None = None) -> Call:
    """Show a semaphore"""
    return make("GET", "/v1/semaphores/{}", (name,), query={"user_id": user_id})


def configure_semaphore(name: str, body: _types.SemaphoreSize) -> Call:
    """Make or resize a semaphore"""
    return make("PUT", "/v1/semaphores/{}", (name,), body=body)


def delete_semaphore(name: str, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Delete a semaphore"""
    return make("DELETE", "/v1/semaphores/{}", (name,), query={"user_id": user_id, "reason": reason})


def list_semaphores(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the semaphores"""
    return make("GET", "/v1/semaphores", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def break_permits(name: str, body: _types.BrokenLease, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Break a lease of permits"""
    return make("POST", "/v1/semaphores/{}/break", (name,), query={"user_id": user_id, "reason": reason}, body=body)


def acquire_permits(name: str, body: _types.NewPermitLease | None = None, *, wait: float | None = None, lease_secret: str | None = None) -> Call:
    """Acquire permits"""
    return make("POST", "/v1/semaphores/{}/leases", (name,), query={"wait": wait}, headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def renew_permits(name: str, lease_id: str, body: _types.Renewal | None = None, *, lease_secret: str | None = None) -> Call:
    """Renew permits"""
    return make("PUT", "/v1/semaphores/{}/leases/{}", (name, lease_id,), headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def release_permits(name: str, lease_id: str, *, lease_secret: str | None = None) -> Call:
    """Release permits"""
    return make("DELETE", "/v1/semaphores/{}/leases/{}", (name, lease_id,), headers={"Lease-Secret": lease_secret})


def wait_on_condition(name: str, body: _types.NewConditionWait, *, wait: float | None = None, lease_secret: str | None = None) -> Call:
    """Wait on a condition"""
    return make("POST", "/v1/conditions/{}/waits", (name,), query={"wait": wait}, headers={"Lease-Secret": lease_secret}, body=body)


def notify_condition(name: str, body: _types.Notify, *, lease_secret: str | None = None) -> Call:
    """Notify those who wait on a condition"""
    return make("POST", "/v1/conditions/{}/notify", (name,), headers={"Lease-Secret": lease_secret}, body=body)


def get_event(name: str, *, wait: float | None = None, since: int | None = None) -> Call:
    """Show an event, or wait for it"""
    return make("GET", "/v1/events/{}", (name,), query={"wait": wait, "since": since})


def set_event(name: str) -> Call:
    """Set an event"""
    return make("PUT", "/v1/events/{}", (name,))


def clear_event(name: str) -> Call:
    """Clear an event"""
    return make("DELETE", "/v1/events/{}", (name,))


def list_events(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the events"""
    return make("GET", "/v1/events", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def delete_event(name: str, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Delete an event"""
    return make("POST", "/v1/events/{}/delete", (name,), query={"user_id": user_id, "reason": reason})


def get_barrier(name: str, *, wait: float | None = None, since: int | None = None) -> Call:
    """Show a barrier, or wait for it"""
    return make("GET", "/v1/barriers/{}", (name,), query={"wait": wait, "since": since})


def configure_barrier(name: str, body: _types.BarrierSize) -> Call:
    """Make or resize a barrier"""
    return make("PUT", "/v1/barriers/{}", (name,), body=body)


def delete_barrier(name: str, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Delete a barrier"""
    return make("DELETE", "/v1/barriers/{}", (name,), query={"user_id": user_id, "reason": reason})


def arrive_at_barrier(name: str, body: _types.NewArrival, *, wait: float | None = None) -> Call:
    """Arrive at a barrier"""
    return make("POST", "/v1/barriers/{}/arrivals", (name,), query={"wait": wait}, body=body)


def withdraw_arrival(name: str, arrival_id: str) -> Call:
    """Take an arrival back"""
    return make("DELETE", "/v1/barriers/{}/arrivals/{}", (name, arrival_id,))


def abort_barrier(name: str) -> Call:
    """Break a barrier"""
    return make("POST", "/v1/barriers/{}/abort", (name,))


def reset_barrier(name: str) -> Call:
    """Reset a barrier"""
    return make("POST", "/v1/barriers/{}/reset", (name,))


def list_barriers(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the barriers"""
    return make("GET", "/v1/barriers", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def get_work_queue(name: str, *, user_id: int | None = None) -> Call:
    """Show a work queue"""
    return make("GET", "/v1/work-queues/{}", (name,), query={"user_id": user_id})


def configure_work_queue(name: str, body: _types.NewWorkQueueSettings | None = None) -> Call:
    """Make or change a work queue"""
    return make("PUT", "/v1/work-queues/{}", (name,), body=... if body is None else body)


def delete_work_queue(name: str, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Delete a work queue"""
    return make("DELETE", "/v1/work-queues/{}", (name,), query={"user_id": user_id, "reason": reason})


def list_work_queues(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the work queues"""
    return make("GET", "/v1/work-queues", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def put_work_item(name: str, body: _types.NewWorkItem, *, wait: float | None = None) -> Call:
    """Put an item into a work queue"""
    return make("POST", "/v1/work-queues/{}/items", (name,), query={"wait": wait}, body=body)


def withdraw_work_item(name: str, item_id: str) -> Call:
    """Give up putting an item in"""
    return make("DELETE", "/v1/work-queues/{}/items/{}", (name, item_id,))


def get_work_item(name: str, body: _types.NewItemLease | None = None, *, wait: float | None = None, lease_secret: str | None = None) -> Call:
    """Fetch an item from a work queue"""
    return make("POST", "/v1/work-queues/{}/leases", (name,), query={"wait": wait}, headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def extend_work_item(name: str, lease_id: str, body: _types.Renewal | None = None, *, lease_secret: str | None = None) -> Call:
    """Keep an item longer"""
    return make("PUT", "/v1/work-queues/{}/leases/{}", (name, lease_id,), headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def work_item_done(name: str, lease_id: str, *, lease_secret: str | None = None) -> Call:
    """Tell that an item is done"""
    return make("DELETE", "/v1/work-queues/{}/leases/{}", (name, lease_id,), headers={"Lease-Secret": lease_secret})


def give_back_work_item(name: str, lease_id: str, body: _types.GiveBack | None = None, *, lease_secret: str | None = None) -> Call:
    """Give an item back"""
    return make("POST", "/v1/work-queues/{}/leases/{}/give-back", (name, lease_id,), headers={"Lease-Secret": lease_secret}, body=... if body is None else body)


def join_work_queue(name: str, *, wait: float | None = None) -> Call:
    """Wait until a work queue has nothing unfinished"""
    return make("GET", "/v1/work-queues/{}/join", (name,), query={"wait": wait})


def shut_work_queue_down(name: str, body: _types.NewShutDown | None = None) -> Call:
    """Shut a work queue down"""
    return make("POST", "/v1/work-queues/{}/shutdown", (name,), body=... if body is None else body)


def open_work_queue(name: str) -> Call:
    """Open a work queue again"""
    return make("DELETE", "/v1/work-queues/{}/shutdown", (name,))


def purge_work_queue(name: str) -> Call:
    """Empty a work queue"""
    return make("POST", "/v1/work-queues/{}/purge", (name,))


def list_dead_work_items(name: str, *, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the dead letters of a work queue"""
    return make("GET", "/v1/work-queues/{}/dead-letters", (name,), query={"user_id": user_id, "cursor": cursor, "limit": limit})


def put_back_dead_work_items(name: str, body: _types.DeadItems | None = None, *, user_id: int | None = None, reason: str | None = None) -> Call:
    """Put dead letters back"""
    return make("POST", "/v1/work-queues/{}/dead-letters/put-back", (name,), query={"user_id": user_id, "reason": reason}, body=... if body is None else body)


def list_users(*, cursor: str | None = None, limit: int | None = None) -> Call:
    """List the users"""
    return make("GET", "/v1/users", query={"cursor": cursor, "limit": limit})


def create_user(body: _types.NewUser) -> Call:
    """Make a user"""
    return make("POST", "/v1/users", body=body)


def get_user(id: str) -> Call:
    """Show a user"""
    return make("GET", "/v1/users/{}", (id,))


def set_user_quotas(id: str, body: _types.NewQuotas) -> Call:
    """Set a user's quotas"""
    return make("PUT", "/v1/users/{}/quotas", (id,), body=body)


def disable_user(id: str, *, cancel_tasks: bool | None = None) -> Call:
    """Disable a user"""
    return make("POST", "/v1/users/{}/disable", (id,), query={"cancel_tasks": cancel_tasks})


def enable_user(id: str) -> Call:
    """Enable a user"""
    return make("POST", "/v1/users/{}/enable", (id,))


def list_api_keys(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List API keys"""
    return make("GET", "/v1/api-keys", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def create_api_key(body: _types.NewApiKey) -> Call:
    """Make an API key"""
    return make("POST", "/v1/api-keys", body=body)


def revoke_api_key(id: str) -> Call:
    """Revoke an API key"""
    return make("DELETE", "/v1/api-keys/{}", (id,))


def list_audit(*, user_id: int | None = None, cursor: str | None = None, limit: int | None = None) -> Call:
    """List who broke, deleted or put back what"""
    return make("GET", "/v1/audit", query={"user_id": user_id, "cursor": cursor, "limit": limit})


def list_queues() -> Call:
    """List the queues"""
    return make("GET", "/v1/queues")


def list_workers() -> Call:
    """List the workers"""
    return make("GET", "/v1/workers")


def list_task_types() -> Call:
    """List the task types"""
    return make("GET", "/v1/task-types")


def list_quarantine(*, cursor: str | None = None, limit: int | None = None) -> Call:
    """List what was put aside"""
    return make("GET", "/v1/quarantine", query={"cursor": cursor, "limit": limit})


def get_root() -> Call:
    """Find the documentation"""
    return make("GET", "/")


def get_openapi(*, if_none_match: str | None = None) -> Call:
    """Read this document"""
    return make("GET", "/openapi.json", headers={"If-None-Match": if_none_match})


def get_docs(*, if_none_match: str | None = None) -> Call:
    """Read the documentation"""
    return make("GET", "/docs", headers={"If-None-Match": if_none_match})


def get_docs_style(*, if_none_match: str | None = None) -> Call:
    """Fetch the pages' style sheet"""
    return make("GET", "/docs/style.css", headers={"If-None-Match": if_none_match})


def list_problems() -> Call:
    """List the problems"""
    return make("GET", "/problems")


def get_problem(code: str) -> Call:
    """Explain a problem"""
    return make("GET", "/problems/{}", (code,))


def get_liveness() -> Call:
    """Is it alive?"""
    return make("GET", "/livez")


def get_readiness(*, verbose: str | None = None) -> Call:
    """Is it ready?"""
    return make("GET", "/readyz", query={"verbose": verbose})


def get_metrics() -> Call:
    """Read the metrics"""
    return make("GET", "/metrics")
