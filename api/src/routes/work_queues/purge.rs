//! `POST /v1/work-queues/{name}/purge`: removes what nobody has fetched.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply, limits};
use serde::Serialize;
use utoipa::ToSchema;

use super::queue;
use crate::{
    callers::Caller,
    extract::NamePath,
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// Steps of one request: others who use the queue go in between them.
const STEPS_MAX: usize = 50;

/// What was removed.
#[derive(Serialize, ToSchema)]
#[schema(as = PurgedItems)]
struct Purged {
    /// How many items.
    purged: i32,
    /// There may be more: repeat it.
    more: bool,
}

/// Empty a work queue
///
/// Items that are ready or delayed are removed as if they were done: a `join` goes on, and producers that wait for room come in. What
/// is fetched stays with who has it, dead letters stay, and `item_id`s are known for ten minutes. Up to 50,000 items.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/purge",
    operation_id = "purge_work_queue",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "They are gone.", body = Purged,
        example = json!({"purged": 3, "more": false}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn purge(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    let (address, mut all) = (queue(caller.owner, name), 0);
    for _ in 0..STEPS_MAX {
        match state.coordination.change(&address, Op::Purge).await? {
            Reply::Purged(purged) => {
                all += purged;
                if purged < limits::PURGED_MAX {
                    return Ok(HttpResponse::Ok().json(Purged { purged: all, more: false }));
                }
            }
            other => return Err(refused(&other)),
        }
    }
    Ok(HttpResponse::Ok().json(Purged { purged: all, more: true }))
}
