//! `DELETE /v1/work-queues/{name}`: a queue and all that is in it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    coordination::{Op, Reply},
    store::AuditAction,
};

use super::queue;
use crate::{
    callers::Caller,
    extract::{NamePath, OrderQuery},
    leases::refused,
    objects::DELETE_PROBLEMS,
    problem::Problem,
    state::ApiState,
};

/// Items that one statement removes: so many take a few milliseconds, and others who use the queue wait no longer.
const PURGED_AT_ONCE: i64 = 5_000;

/// Delete a work queue
///
/// With its settings and **all items**, dead ones too. Whoever waits is answered at once. It is shut down first, then emptied, so an
/// order that was cut off leaves a queue that takes no more: repeat it. 409 `lease_in_use` where a transaction of a consumer stands
/// on its lease. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/v1/work-queues/{name}",
    operation_id = "delete_work_queue",
    tag = "coordination",
    params(NamePath, OrderQuery),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, OrderQuery::PROBLEMS, DELETE_PROBLEMS]))),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    query: OrderQuery,
) -> Result<HttpResponse, Problem> {
    let order = query.order(&caller, AuditAction::DeleteWorkQueue, &name)?;
    let address = queue(order.owner, name);
    let seen = state.coordination.look(&address).await?;
    if seen.is_none_or(|seen| !seen.settings.configured && !seen.settings.flag) {
        return Ok(HttpResponse::NoContent().finish());
    }
    // logged with the first thing that is done
    match state.coordination.order(&address, Op::Flag(true), order).await? {
        Reply::Done(_) => (),
        other => return Err(refused(&other)),
    }
    while state.store.purge_items(&address, PURGED_AT_ONCE).await? == PURGED_AT_ONCE.unsigned_abs() {}
    match state.coordination.change(&address, Op::Delete).await? {
        Reply::Done(_) | Reply::Missing => Ok(HttpResponse::NoContent().finish()),
        other => Err(refused(&other)),
    }
}
