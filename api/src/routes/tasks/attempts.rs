//! `GET /v1/tasks/{id}/attempts`: every run of a task, the first one first.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::tasks::AttemptView;

use crate::{
    callers::Caller,
    document,
    extract::{TaskPath, task_not_found},
    problem::{Code, Problem},
    routes::{List, listed},
    state::ApiState,
};

/// List a task's attempts
///
/// Every run of it, the first one first, with the error of each; of more than a thousand the last thousand. A task that has
/// not started has none.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/attempts",
    operation_id = "list_task_attempts",
    tag = "tasks",
    params(TaskPath),
    responses((
        status = 200, description = "The attempts.", body = List<AttemptView>,
        example = json!({"data": [{
            "epoch": 1, "attempt": 1, "outcome": "failed", "times": 1, "error": {"code": "asked_to_fail", "message": "attempt 1 of 1"},
            "worker": "host:4711", "started_at": "2026-11-22T20:00:00.127Z", "ended_at": "2026-11-22T20:00:00.129Z"
        }]}),
    )),
    extensions(("x-problems" = json!([Code::QueueForbidden, TaskPath::PROBLEMS]))),
)]
pub(crate) async fn attempts(
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    document::check_queue(&state, &caller, id).await?;
    let attempts = state.store.show_attempts(caller.owner, id).await?.ok_or_else(task_not_found)?;
    Ok(listed(&attempts))
}
