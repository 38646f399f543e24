//! `GET /v1/queues`: every queue, its depth, the age of its oldest task, and who serves it.

use actix_web::{HttpResponse, web::Data};

use crate::{problem::Problem, routes::listed, state::ApiState};

/// `{"data": […]}`.
pub(crate) async fn queues(state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    Ok(listed(&state.store.show_queues().await?))
}
