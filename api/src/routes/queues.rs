//! `GET /v1/queues`: every queue, its depth, the age of its oldest task, and who serves it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::QueueView;

use crate::{
    problem::Problem,
    routes::{List, listed},
    state::ApiState,
};

/// List the queues
///
/// Every queue, how much waits in it and for how long, and who serves it.
#[utoipa::path(
    get,
    path = "/v1/queues",
    operation_id = "list_queues",
    tag = "catalogue",
    responses((
        status = 200, description = "All of them.", body = List<QueueView>,
        example = json!({"data": [{"name": "default", "depth": 12, "oldest_age": 0.8, "running": 256, "workers": 1, "slots": 256}]}),
    )),
)]
pub(crate) async fn queues(state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    Ok(listed(&state.store.show_queues().await?))
}
