//! `GET /v1/tasks/{id}`: everything about a task.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::store::tasks::TaskView;

use crate::{
    callers::Caller,
    conditional::{self, Condition},
    document,
    extract::{QueryWait, TaskPath},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Show a task
///
/// Everything about it: where it stands, its progress, its result or its error. At once, or with `?wait=N` when it has
/// ended, at the latest after N seconds. The `ETag` is of the content: a client that polls pays for changes only.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}",
    operation_id = "get_task",
    tag = "tasks",
    params(TaskPath, QueryWait, Condition),
    responses(
        (status = 200, description = "The task.", body = TaskView, 
            headers(("ETag" = String, description = "Of this content; send it as `If-None-Match`.")), example = json!(examples::succeeded())),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([Code::QueueForbidden, [TaskPath::PROBLEMS, QueryWait::PROBLEMS]]))),
)]
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    TaskPath(id): TaskPath,
    QueryWait(wait): QueryWait,
) -> Result<HttpResponse, Problem> {
    document::check_queue(&state, &caller, id).await?;
    if !wait.is_zero()
        && let Some(ended) = state.waiting.until_ended(caller.owner, id, wait).await?
    {
        return Ok(conditional::json(&request, ended.bytes.clone()));
    }
    Ok(conditional::json(&request, document::load(&state, caller.owner, id).await?))
}
