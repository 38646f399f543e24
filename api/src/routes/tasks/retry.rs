//! `POST /v1/tasks/{id}/retry`: another task like one that has ended, which points back with `retry_of`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Asked, Fate, Guarded, Retriable, TaskView},
    task::State,
};

use uuid::Uuid;

use super::submit::{admitted, with_replay};
use crate::{
    accept::Acceptor,
    callers::Caller,
    document,
    extract::{Fields, IdempotencyKey, JsonBody, TaskPath, task_not_found},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Retry a task
///
/// What has ended never changes; another task like it is accepted, which points back with `retry_of`. It has the same
/// arguments, limits, tags and metadata, and starts at once: a delay, an expiry and a unique key belonged to the first.
#[utoipa::path(
    post,
    path = "/v1/tasks/{id}/retry",
    operation_id = "retry_task",
    tag = "tasks",
    params(TaskPath, IdempotencyKey),
    responses((
        status = 202, description = "The new task.", body = TaskView,
        headers(("Location" = String, description = "Its address.")), example = json!(examples::queued()),
    )),
    extensions(("x-problems" = json!([Code::QueueForbidden, [
        TaskPath::PROBLEMS,
        IdempotencyKey::PROBLEMS, Acceptor::PROBLEMS,
        JsonBody::PROBLEMS,
        [Code::TaskNotFinished, Code::TaskInWorkflow]
    ]]))),
)]
pub(crate) async fn retry(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.optional().unwrap_or(b"{}");
    Fields::of(body)?.finish(Some(()))?;
    let key = key.of(&request, body);
    let owner = caller.owner;
    let (fates, replayed) = match state.store.retriable(owner, &[id], &state.ids).await?.into_iter().next() {
        Some((_, Retriable::Ended(task))) => {
            caller.covers(task.queue.as_str())?;
            let tasks = vec![Asked::Task(Arc::new(*task), None)];
            let request = Guarded { owner, key, tasks, atomic: true, once: false, grant: caller.restriction() };
            admitted(state.acceptor.accept(&caller, request).await?)?
        }
        Some((_, Retriable::NotYet(stands))) => {
            document::check_queue(&state, &caller, id).await?;
            return Err(not_yet(stands));
        }
        Some((_, Retriable::Node(workflow))) => {
            document::check_queue(&state, &caller, id).await?;
            return Err(node(workflow, "can be retried"));
        }
        None => admitted(state.acceptor.answered_before(owner, key, task_not_found()).await?)?,
    };
    match fates.into_iter().next() {
        Some(Fate::Accepted(task)) => Ok(with_replay(HttpResponse::Accepted(), replayed, &task).json(task)),
        Some(Fate::Abandoned) => Err(task_not_found()), // it was removed in this moment
        _ => Err(Problem::internal("the accept writer answered for no task")),
    }
}

pub(super) fn node(workflow: Uuid, what: &str) -> Problem {
    Problem::new(Code::TaskInWorkflow, format!("the task is a node of a workflow, which {what}"))
        .with("workflow_id", workflow.to_string())
}

pub(super) fn not_yet(state: State) -> Problem {
    Problem::new(Code::TaskNotFinished, format!("the task is {state}; only what has ended can be retried"))
        .with("state", state.as_str())
}
