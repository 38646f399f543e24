//! Examples that more than one operation shows. A test holds each against the type that is answered.

use serde_json::{Value, json};

/// A task's id.
pub(crate) const TASK_ID: &str = "019aad3c-5c66-7e21-b1a9-2d7e0c7d5a01";
/// A workflow's id.
pub(crate) const WORKFLOW_ID: &str = "019aad3c-5c66-7e21-b1a9-2d7e0c7d5f01";
/// An item's id.
pub(crate) const ITEM_ID: &str = "019aad3c-1f00-7a10-9c4e-5b6f2f1e8c02";

/// A task right after its acceptance.
pub(crate) fn queued() -> Value {
    json!({
        "id": TASK_ID, "name": "add", "version": 1, "queue": "default", "priority": 4, "state": "queued",
        "waiting_reason": null, "attempt": 0, "max_attempts": 5, "created_at": "2026-11-22T20:00:00.123456Z",
        "run_at": null, "queued_at": "2026-11-22T20:00:00.123456Z", "started_at": null, "finished_at": null,
        "expires_at": null, "cancel_requested_at": null, "timeout": null, "soft_timeout": null, "result_ttl": null,
        "store_result": true, "tags": [], "metadata": null, "worker": null, "progress": null, "result": null,
        "error": null, "root_id": TASK_ID, "parent_id": null, "batch_id": null, "retry_of": null, "traceparent": null,
        "workflow_id": null, "node_key": null
    })
}

/// The same, done.
pub(crate) fn succeeded() -> Value {
    with(
        queued(),
        json!({
            "state": "succeeded", "attempt": 1, "started_at": "2026-11-22T20:00:00.127001Z",
            "finished_at": "2026-11-22T20:00:00.129815Z", "worker": "host:4711", "result": 3
        }),
    )
}

/// The same, stopped before its start.
pub(crate) fn cancelled() -> Value {
    with(queued(), json!({"state": "cancelled", "finished_at": "2026-11-22T20:00:01.5Z"}))
}

/// The same, asked to stop while it runs.
pub(crate) fn asked_to_stop() -> Value {
    with(
        queued(),
        json!({
            "state": "running", "attempt": 1, "started_at": "2026-11-22T20:00:00.127001Z", "worker": "host:4711",
            "cancel_requested_at": "2026-11-22T20:00:01.5Z"
        }),
    )
}

/// A task in a list.
pub(crate) fn line() -> Value {
    json!({
        "id": TASK_ID, "name": "add", "queue": "default", "priority": 4, "state": "failed", "waiting_reason": null,
        "attempt": 5, "max_attempts": 5, "created_at": "2026-11-22T20:00:00.123456Z", "run_at": null,
        "started_at": "2026-11-22T20:00:30.127001Z", "finished_at": "2026-11-22T20:00:30.129815Z", "worker": "host:4711",
        "error": {"code": "upstream", "message": "no answer"}, "tags": [], "batch_id": null, "retry_of": null
    })
}

/// A workflow right after its acceptance.
pub(crate) fn workflow() -> Value {
    json!({
        "id": WORKFLOW_ID, "kind": "group", "state": "running", "return_exceptions": false, "max_in_flight": null,
        "counts": {"total": 2, "open": 2, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0},
        "created_at": "2026-11-22T20:00:00.123456Z", "finished_at": null, "cancel_requested_at": null
    })
}

/// The same, done.
pub(crate) fn workflow_ended() -> Value {
    with(
        workflow(),
        json!({
            "state": "succeeded", "finished_at": "2026-11-22T20:00:01.129815Z",
            "counts": {"total": 2, "open": 0, "succeeded": 2, "failed": 0, "cancelled": 0, "expired": 0}
        }),
    )
}

/// The same, stopped before its tasks started.
pub(crate) fn workflow_cancelled() -> Value {
    with(
        workflow(),
        json!({
            "state": "cancelled", "finished_at": "2026-11-22T20:00:00.5Z", "cancel_requested_at": "2026-11-22T20:00:00.5Z",
            "counts": {"total": 2, "open": 0, "succeeded": 0, "failed": 0, "cancelled": 2, "expired": 0}
        }),
    )
}

/// The same, with a page of its nodes.
pub(crate) fn workflow_shown() -> Value {
    let node = json!({
        "index": 0, "key": "0", "task_id": TASK_ID, "state": "succeeded", "error_code": null,
        "finished_at": "2026-11-22T20:00:01.129815Z"
    });
    with(workflow_ended(), json!({"nodes": {"data": [node], "next_cursor": "1"}}))
}

/// An uploaded picture.
pub(crate) fn item() -> Value {
    json!({
        "id": ITEM_ID, "content_type": "image/jpeg", "bytes": 48_213,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "created_at": "2026-11-22T19:59:58.001Z"
    })
}

/// A user.
pub(crate) fn user() -> Value {
    json!({
        "id": 2, "name": "shop", "quotas": {"queued_tasks": 10_000, "stored_bytes": null, "requests_per_second": null},
        "created_at": "2026-11-22T19:00:00Z", "disabled_at": null
    })
}

/// A key in a list.
pub(crate) fn key() -> Value {
    json!({
        "id": 7, "user_id": 2, "name": "shop", "scopes": ["submit", "read"], "queues": ["mail.*"],
        "created_at": "2026-11-22T19:00:00Z", "expires_at": null, "last_used_at": null, "revoked_at": null
    })
}

/// An order in the audit log.
pub(crate) fn audit_entry() -> Value {
    json!({
        "id": 12, "at": "2026-11-22T20:00:00.127Z", "user_id": 1, "key_id": 3, "owner_id": 2, "action": "lock.break",
        "object": "account:42", "reason": "its holder hangs, see ticket 815", "detail": {"fence": "86016"}
    })
}

/// A lease's id.
pub(crate) const LEASE_ID: &str = "6f1c0c0e-4f0c-4f5a-9a3e-0b0e6c0c8a51";

/// A lease that its client holds.
pub(crate) fn lease_held() -> Value {
    json!({"lease_id": LEASE_ID, "state": "held", "fence": "86016", "expires_in": 30.0})
}

/// The same, after a wait on a condition.
pub(crate) fn lease_woken() -> Value {
    with(lease_held(), json!({"notified": true}))
}

/// The same, in the line.
pub(crate) fn lease_waiting() -> Value {
    json!({"lease_id": LEASE_ID, "state": "waiting", "waiting": 3})
}

/// The same, waiting for a notify.
pub(crate) fn lease_parked() -> Value {
    json!({"lease_id": LEASE_ID, "state": "parked"})
}

/// A lock.
pub(crate) fn lock() -> Value {
    let holder = json!({"owner": "host-7", "fence": "86016", "permits": 1, "expires_in": 21.5});
    json!({"name": "account:42", "holders": [holder], "waiting": 2})
}

/// A semaphore.
pub(crate) fn semaphore() -> Value {
    let holder = json!({"owner": "host-7", "fence": "90112", "permits": 2, "expires_in": 21.5});
    json!({"name": "gpu", "permits": 5, "available": 3, "holders": [holder], "waiting": 0})
}

/// A key that was made just now. This one is good nowhere: its checksum is wrong.
pub(crate) fn made_key() -> Value {
    let secret = "0".repeat(64);
    with(key(), json!({"key": format!("cwy_7_{secret}_00000000")}))
}

fn with(mut document: Value, changes: Value) -> Value {
    if let (Value::Object(document), Value::Object(changes)) = (&mut document, changes) {
        document.extend(changes);
    }
    document
}

#[cfg(test)]
mod tests {
    use caraway_shared::store::tasks::TaskView;

    use super::*;

    #[test]
    fn workflows_look_like_that() {
        for example in [workflow(), workflow_ended(), workflow_cancelled()] {
            let view: caraway_shared::store::workflows::WorkflowView = serde_json::from_value(example.clone()).unwrap();
            assert_eq!(serde_json::to_value(view).unwrap(), example);
        }
    }

    #[test]
    fn tasks_look_like_that() {
        for example in [queued(), succeeded(), cancelled(), asked_to_stop()] {
            let view: TaskView = serde_json::from_value(example.clone()).unwrap();
            assert_eq!(serde_json::to_value(view).unwrap(), example, "field by field, nothing left out");
        }
    }
}
