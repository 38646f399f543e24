//! `GET /v1/events`: the events, by name.

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

/// An event in a list.
#[derive(Serialize, ToSchema)]
struct ListedEvent {
    name: String,
    set: bool,
    /// How often it was set.
    generation: i64,
}

/// List the events
///
/// Those that were ever set and not deleted, by name.
/// A page may be short and have a next one: it ends after 10,000 that are out of use.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "list_events",
    tag = "coordination",
    params(ObjectsQuery),
    responses((status = 200, description = "A page.", body = Page<ListedEvent>,
        example = json!({"data": [{"name": "deployed", "set": true, "generation": 3}], "next_cursor": null}))),
    extensions(("x-problems" = json!(ObjectsQuery::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: ObjectsQuery) -> Result<HttpResponse, Problem> {
    objects::list(&state, &caller, &query, Kind::Event, |seen| ListedEvent {
        name: seen.name,
        set: seen.settings.flag,
        generation: seen.settings.generation,
    })
    .await
}
