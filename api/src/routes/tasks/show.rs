//! `GET /v1/tasks/{id}`: everything about a task.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    conditional, document,
    extract::{Owner, QueryWait, TaskPath},
    problem::Problem,
    state::ApiState,
};

/// The task's document, at once or with `?wait=N` when it has ended, at the latest after N seconds; with a strong `ETag` of its content: a client that polls pays for changes only.
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
    QueryWait(wait): QueryWait,
) -> Result<HttpResponse, Problem> {
    if !wait.is_zero() {
        state.waiting.until_ended(owner, id, wait).await?;
    }
    Ok(conditional::json(&request, document::load(&state, owner, id).await?))
}
