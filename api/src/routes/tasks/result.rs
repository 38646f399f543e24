//! `GET /v1/tasks/{id}/result`: what the handler returned, and nothing around it.
//!
//! A task that ended without a result is a 409 with a code of its own for each way to end, so that a client which waits
//! here can tell "not yet" (`task_not_finished`, retryable) from "never".

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::{store::tasks::TaskView, task::State};
use serde_json::value::RawValue;

use crate::{
    callers::Caller,
    conditional::{self, Condition},
    document,
    extract::TaskPath,
    problem::{Code, Problem},
    state::ApiState,
};

/// Fetch a task's result
///
/// What the handler returned, byte for byte, and nothing around it: any JSON. Of a task without a result the answer is
/// `409`, and its code tells whether one may still come (`task_not_finished`) or never will.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/result",
    operation_id = "get_task_result",
    tag = "tasks",
    params(TaskPath, Condition),
    responses(
        (status = 200, description = "The result.", body = Value, 
            headers(("ETag" = String, description = "Of this content; send it as `If-None-Match`.")), example = json!(3)),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([Code::QueueForbidden, [
        TaskPath::PROBLEMS,
        [Code::TaskNotFinished, Code::ResultNotKept, Code::TaskFailed, Code::TaskCancelled, Code::TaskExpired]
    ]]))),
)]
pub(crate) async fn result(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    let task = document::view(&state, caller.owner, id).await?;
    caller.covers(&task.queue)?;
    match task.state {
        State::Succeeded if task.store_result => {
            let result = task.result.as_deref().map_or("null", RawValue::get).to_owned();
            Ok(conditional::json(&request, result))
        }
        _ => Err(without_result(&task)),
    }
}

fn without_result(task: &TaskView) -> Problem {
    let (code, detail) = match task.state {
        State::Failed => (Code::TaskFailed, "the task has failed and has no result"),
        State::Cancelled => (Code::TaskCancelled, "the task was cancelled and has no result"),
        State::Expired => (Code::TaskExpired, "the task was not started in time and has no result"),
        State::Succeeded => (Code::ResultNotKept, "the task has succeeded, and was told to keep no result"),
        State::Scheduled | State::Waiting | State::Queued | State::Running => {
            (Code::TaskNotFinished, "the task has no result yet; ask again later")
        }
    };
    let problem = Problem::new(code, detail).with("state", task.state.as_str());
    match task.error.as_ref().filter(|_| task.state == State::Failed) {
        Some(error) => problem.with_json("error", error),
        None => problem,
    }
}
