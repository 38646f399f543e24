//! `GET /v1/workers`: worker processes that are alive, and what each serves.

use actix_web::{HttpResponse, web::Data};

use crate::{problem::Problem, routes::listed, state::ApiState};

/// `{"data": […]}`.
pub(crate) async fn workers(state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    Ok(listed(&state.store.show_workers().await?))
}
