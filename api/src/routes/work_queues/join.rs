//! `GET /v1/work-queues/{name}/join`: whether everything is done; with `?wait=N` when it is.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::coordination::Reply;
use serde::Serialize;
use utoipa::ToSchema;

use super::queue;
use crate::{
    callers::Caller,
    extract::{LeaseWait, NamePath},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// What is left.
#[derive(Serialize, ToSchema)]
struct Joined {
    /// At one moment since the request came, nothing was unfinished.
    finished: bool,
    /// How many items are ready, delayed or fetched and not done, now.
    unfinished: i64,
}

/// Wait until a work queue has nothing unfinished
///
/// Python's `join`. Dead items count as finished. Answered with `finished: false`, repeat it.
#[utoipa::path(
    get,
    path = "/v1/work-queues/{name}/join",
    operation_id = "join_work_queue",
    tag = "coordination",
    params(NamePath, LeaseWait),
    responses((status = 200, description = "Finished, or not in time.", body = Joined,
        example = json!({"finished": true, "unfinished": 0}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, LeaseWait::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn join(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseWait(wait): LeaseWait,
) -> Result<HttpResponse, Problem> {
    let address = queue(caller.owner, name);
    let not_configured = || refused(&Reply::NotConfigured);
    let began = state.coordination.look(&address).await?.filter(|seen| seen.settings.configured);
    // the generation rises each time that the last item is done
    let began = began.ok_or_else(not_configured)?.settings.generation;
    let done = |seen: &caraway_shared::store::coordination::ObjectView| !seen.open || seen.settings.generation > began;
    let seen = state.coordination.observe(&address, wait, done).await?.ok_or_else(not_configured)?;
    let unfinished = if seen.open { state.store.queue_counts(&address).await?.unfinished } else { 0 };
    let joined = Joined { finished: done(&seen), unfinished };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(joined))
}
