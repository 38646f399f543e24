//! `DELETE /v1/tasks/{id}`: a task that has ended, before its time.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::{AuditAction, tasks::Deleted};

use super::retry::node;
use crate::{
    callers::Caller,
    document,
    extract::{TaskPath, task_not_found},
    problem::{Code, Problem},
    state::ApiState,
};

/// Delete a task
///
/// One that has ended, with its attempts, its tags and its unique key; items that it made stay. What has not ended is cancelled
/// first, and a task of a workflow goes with that. Other processes may show it for a second; if the cache does not answer, for an
/// hour at most.
#[utoipa::path(
    delete,
    path = "/v1/tasks/{id}",
    operation_id = "delete_task",
    tag = "tasks",
    params(TaskPath),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-problems" = json!([
        Code::QueueForbidden, [TaskPath::PROBLEMS, [Code::TaskNotFinished, Code::TaskInWorkflow, Code::Contended, Code::Overloaded]]
    ]))),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    document::check_queue(&state, &caller, id).await?;
    let order = caller.order(caller.owner, AuditAction::DeleteTask, &id);
    match state.store.delete_task(id, &order).await? {
        Deleted::Done => {
            state.cache.forget_task(caller.owner, id).await;
            Ok(HttpResponse::NoContent().finish())
        }
        Deleted::NotYet(stands) => {
            let detail = format!("the task is {stands}; only what has ended can be deleted, so cancel it first");
            Err(Problem::new(Code::TaskNotFinished, detail).with("state", stands.as_str()))
        }
        Deleted::Node(workflow) => Err(node(workflow, "it goes with")),
        Deleted::Missing => Err(task_not_found()),
    }
}
