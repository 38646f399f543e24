//! `GET /v1/tasks/{id}/attempts`: every run of a task, the first one first.

use actix_web::{HttpResponse, web::Data};

use crate::{
    extract::{Owner, TaskPath, task_not_found},
    problem::Problem,
    routes::listed,
    state::ApiState,
};

/// `{"data": […]}`.
pub(crate) async fn attempts(
    state: Data<ApiState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    let attempts = state.store.show_attempts(owner, id).await?.ok_or_else(task_not_found)?;
    Ok(listed(&attempts))
}
