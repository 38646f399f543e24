//! `GET /v1/locks`: the locks in use, by name.

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

/// A lock in a list.
#[derive(Serialize, ToSchema)]
struct ListedLock {
    name: String,
    /// How many leases hold it: several where one owner holds it several times. No further than 100.
    held: i64,
    /// How many wait for it, and on conditions beside it, no further than 100.
    waiting: i64,
}

/// List the locks in use
///
/// Those that somebody holds or waits for, by name. Who holds one, and with which fence, its own address tells.
/// A page may be short and have a next one: it ends after 10,000 that are out of use.
#[utoipa::path(
    get,
    path = "/v1/locks",
    operation_id = "list_locks",
    tag = "coordination",
    params(ObjectsQuery),
    responses((status = 200, description = "A page.", body = Page<ListedLock>,
        example = json!({"data": [{"name": "account:42", "held": 1, "waiting": 3}], "next_cursor": null}))),
    extensions(("x-problems" = json!(ObjectsQuery::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: ObjectsQuery) -> Result<HttpResponse, Problem> {
    objects::list(&state, &caller, &query, Kind::Lock, |seen| ListedLock {
        name: seen.name,
        held: seen.held,
        waiting: seen.waiting,
    })
    .await
}
