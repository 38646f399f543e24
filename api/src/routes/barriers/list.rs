//! `GET /v1/barriers`: the barriers, by name.

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

/// A barrier in a list.
#[derive(Serialize, ToSchema)]
struct ListedBarrier {
    name: String,
    /// How many open it; null for one that has no size.
    #[schema(required)]
    parties: Option<i32>,
    /// How many have arrived since it was last open, no further than 100.
    arrived: i64,
    /// How often it was open.
    generation: i64,
    /// Who arrives is refused, until it is reset.
    broken: bool,
}

/// List the barriers
///
/// Those that were made, by name.
/// A page may be short and have a next one: it ends after 10,000 that are out of use.
#[utoipa::path(
    get,
    path = "/v1/barriers",
    operation_id = "list_barriers",
    tag = "coordination",
    params(ObjectsQuery),
    responses((status = 200, description = "A page.", body = Page<ListedBarrier>,
        example = json!({"data": [{"name": "loaded", "parties": 3, "arrived": 1, "generation": 0, "broken": false}],
            "next_cursor": null}))),
    extensions(("x-problems" = json!(ObjectsQuery::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: ObjectsQuery) -> Result<HttpResponse, Problem> {
    objects::list(&state, &caller, &query, Kind::Barrier, |seen| ListedBarrier {
        name: seen.name,
        parties: seen.settings.capacity,
        arrived: seen.held,
        generation: seen.settings.generation,
        broken: seen.settings.flag,
    })
    .await
}
