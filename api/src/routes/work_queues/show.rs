//! `GET /v1/work-queues/{name}`: how it works, and how many items stand where.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::{coordination::Reply, store::coordination::QueueCounts};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ItemOrder, queue};
use crate::{
    callers::Caller,
    extract::{NamePath, Whose},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// A work queue.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkQueue)]
struct Shown {
    name: String,
    order: ItemOrder,
    /// How many items may be ready; null: any number.
    maxsize: Option<i32>,
    max_attempts: i32,
    /// It takes no more.
    shut_down: bool,
    /// It gives nothing either, and drops what nobody has.
    immediate: bool,
    /// Consumers that wait for an item.
    waiting: i64,
    /// Producers that wait for room.
    waiting_producers: i64,
    #[serde(flatten)]
    counts: QueueCounts,
}

/// Show a work queue
///
/// The numbers are counted when you ask, from the items.
#[utoipa::path(
    get,
    path = "/v1/work-queues/{name}",
    operation_id = "get_work_queue",
    tag = "coordination",
    params(NamePath, Whose),
    responses((status = 200, description = "The queue.", body = Shown, example = json!({
        "name": "mails", "order": "fifo", "maxsize": 100, "max_attempts": 5, "shut_down": false, "immediate": false, "waiting": 0,
        "waiting_producers": 0,
        "ready": 3, "delayed": 0, "in_flight": 1, "unfinished": 4, "dead": 0
    }))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, Whose::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn show(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    whose: Whose,
) -> Result<HttpResponse, Problem> {
    let address = queue(whose.owner(&caller)?, name.clone());
    let seen = state.coordination.look(&address).await?.filter(|seen| seen.settings.configured);
    let seen = seen.ok_or_else(|| refused(&Reply::NotConfigured))?;
    let shown = Shown {
        name: name.to_string(),
        order: seen.settings.order.into(),
        maxsize: seen.settings.capacity,
        max_attempts: seen.settings.attempts_max,
        shut_down: seen.settings.flag,
        immediate: seen.settings.halted,
        waiting: seen.waiting,
        waiting_producers: seen.producers,
        counts: state.store.queue_counts(&address).await?,
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(shown))
}
