//! `GET /v1/tasks/{id}`: everything about a task.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    conditional, document,
    extract::{Owner, TaskPath},
    problem::Problem,
    state::ApiState,
};

/// The task's document, with a strong `ETag` of its content: a client that polls pays for changes only.
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    Ok(conditional::json(&request, document::load(&state, owner, id).await?))
}
