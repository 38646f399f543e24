//! `GET /v1/workers`: worker processes that are alive, and what each serves.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::WorkerView;

use crate::{
    problem::Problem,
    routes::{List, listed},
    state::ApiState,
};

/// List the workers
///
/// Worker processes that are alive, and what each serves.
#[utoipa::path(
    get,
    path = "/v1/workers",
    operation_id = "list_workers",
    tag = "catalogue",
    responses((
        status = 200, description = "All of them.", body = List<WorkerView>,
        example = json!({"data": [{
            "id": 7, "name": "host:4711", "host": "host", "kind": "native",
            "queues": [{"name": "default", "slots": 256, "busy": 3}], "draining": false,
            "started_at": "2026-11-22T19:00:00Z", "seen_at": "2026-11-22T20:00:00Z"
        }]}),
    )),
)]
pub(crate) async fn workers(state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    Ok(listed(&state.store.show_workers().await?))
}
