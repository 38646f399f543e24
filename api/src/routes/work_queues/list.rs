//! `GET /v1/work-queues`: the work queues, by name.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::Kind;
use serde::Serialize;
use utoipa::ToSchema;

use super::ItemOrder;
use crate::{
    callers::Caller,
    objects::{self, ObjectsQuery},
    problem::Problem,
    routes::Page,
    state::ApiState,
};

/// A work queue in a list.
#[derive(Serialize, ToSchema)]
struct ListedWorkQueue {
    name: String,
    order: ItemOrder,
    /// How many items may be ready; null: any number.
    #[schema(required)]
    maxsize: Option<i32>,
    max_attempts: i32,
    /// It takes no more.
    shut_down: bool,
    /// Items that were fetched and are not done, and places promised to producers, no further than 100.
    in_flight: i64,
    /// Consumers and producers that wait, no further than 100.
    waiting: i64,
}

/// List the work queues
///
/// Those that were made, by name. How many items are in one its own address tells.
/// A page may be short and have a next one: it ends after 10,000 that are out of use.
#[utoipa::path(
    get,
    path = "/v1/work-queues",
    operation_id = "list_work_queues",
    tag = "coordination",
    params(ObjectsQuery),
    responses((status = 200, description = "A page.", body = Page<ListedWorkQueue>,
        example = json!({"data": [{
        "name": "mails", "order": "fifo", "maxsize": 100, "max_attempts": 5, "shut_down": false, "in_flight": 1, "waiting": 0
    }], "next_cursor": null}))),
    extensions(("x-problems" = json!(ObjectsQuery::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: ObjectsQuery) -> Result<HttpResponse, Problem> {
    objects::list(&state, &caller, &query, Kind::WorkQueue, |seen| ListedWorkQueue {
        name: seen.name,
        order: seen.settings.order.into(),
        maxsize: seen.settings.capacity,
        max_attempts: seen.settings.attempts_max,
        shut_down: seen.settings.flag,
        in_flight: seen.held,
        waiting: seen.waiting,
    })
    .await
}
