//! `POST /v1/tasks/{id}/cancel`: at once before the start, a request while it runs. Safe to repeat.

use actix_web::{HttpResponse, http::header::ContentType, web::Data};
use caraway_shared::{
    store::{
        AuditAction,
        tasks::{Cancelled, TaskView},
    },
    task::State,
};

use crate::{
    callers::Caller,
    document,
    extract::{TaskPath, task_not_found},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Cancel a task
///
/// One that has not started is cancelled at once. One that runs is asked to stop, and is `cancelled` when it has. Safe to
/// repeat. The operator cancels anybody's, which the audit log tells.
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/cancel",
    operation_id = "cancel_task",
    tag = "tasks",
    params(TaskPath),
    responses(
        (status = 200, description = "It is cancelled.", body = TaskView, example = json!(examples::cancelled())),
        (status = 202, description = "It runs, and was asked to stop.", body = TaskView,
            example = json!(examples::asked_to_stop())),
    ),
    extensions(("x-problems" = json!([Code::QueueForbidden, [TaskPath::PROBLEMS, [Code::TaskAlreadyFinished, Code::Contended, Code::Overloaded]]]))),
)]
pub(crate) async fn cancel(
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    document::check_queue(&state, &caller, id).await?;
    let mut owner = caller.owner;
    let mut cancelled = state.store.cancel_task(owner, id).await?;
    if cancelled == Cancelled::Missing && caller.is_operator() {
        owner = state.store.task_owner(id).await?.ok_or_else(task_not_found)?;
        let order = caller.order(owner, AuditAction::CancelTask, &id);
        cancelled = state.store.cancel_tasks(&[id], &order).await?.remove(&id).unwrap_or(Cancelled::Missing);
    }
    let mut response = match cancelled {
        Cancelled::Now | Cancelled::Over(State::Cancelled) => HttpResponse::Ok(),
        Cancelled::Requested => HttpResponse::Accepted(),
        Cancelled::Over(ended) => return Err(already_finished(ended)),
        Cancelled::Missing => return Err(task_not_found()),
    };
    Ok(response.content_type(ContentType::json()).body(document::load(&state, owner, id).await?))
}

pub(super) fn already_finished(ended: State) -> Problem {
    Problem::new(Code::TaskAlreadyFinished, format!("the task is {ended}; it can no longer be cancelled"))
        .with("state", ended.as_str())
}
