//! `GET /v1/semaphores`: the semaphores, by name.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::Kind;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    callers::Caller,
    objects::{self, ObjectsQuery},
    problem::Problem,
    routes::Page,
    state::ApiState,
};

/// A semaphore in a list.
#[derive(Serialize, ToSchema)]
struct ListedSemaphore {
    name: String,
    /// Permits in all; null for one that was used and has no size.
    #[schema(required)]
    permits: Option<i32>,
    /// How many leases hold permits, no further than 100.
    held: i64,
    /// How many wait, no further than 100.
    waiting: i64,
}

/// List the semaphores
///
/// Those that were made, by name. Who holds permits, and with which fences, its own address tells.
/// A page may be short and have a next one: it ends after 10,000 that are out of use.
#[utoipa::path(
    get,
    path = "/v1/semaphores",
    operation_id = "list_semaphores",
    tag = "coordination",
    params(ObjectsQuery),
    responses((status = 200, description = "A page.", body = Page<ListedSemaphore>,
        example = json!({"data": [{"name": "gpu", "permits": 5, "held": 2, "waiting": 0}], "next_cursor": null}))),
    extensions(("x-problems" = json!(ObjectsQuery::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: ObjectsQuery) -> Result<HttpResponse, Problem> {
    objects::list(&state, &caller, &query, Kind::Semaphore, |seen| ListedSemaphore {
        name: seen.name,
        permits: seen.settings.capacity,
        held: seen.held,
        waiting: seen.waiting,
    })
    .await
}
