//! `DELETE /v1/work-queues/{name}/leases/{lease_id}`: its item is done. Safe to repeat.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply, Share};

use super::queue;
use crate::{
    callers::Caller,
    extract::{LeasePath, LeaseSecret},
    leases::{RELEASE_PROBLEMS, refused},
    problem::Problem,
    state::ApiState,
};

/// Tell that an item is done
///
/// Python's `task_done`. Also gives up waiting for an item. 410 tells that the lease had ended before: the item came back, and somebody
/// else has it or had it.
#[utoipa::path(
    delete,
    path = "/v1/work-queues/{name}/leases/{lease_id}",
    operation_id = "work_item_done",
    tag = "coordination",
    params(LeasePath, LeaseSecret),
    responses((status = 204, description = "It is done.")),
    extensions(("x-problems" = json!([LeasePath::PROBLEMS, LeaseSecret::PROBLEMS, RELEASE_PROBLEMS]))),
)]
pub(crate) async fn done(
    state: Data<ApiState>,
    caller: Caller,
    LeasePath(name, id): LeasePath,
    LeaseSecret(secret): LeaseSecret,
) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&queue(caller.owner, name), Op::Finish(Share { id, secret })).await? {
        Reply::Released => Ok(HttpResponse::NoContent().finish()),
        other => Err(refused(&other)),
    }
}
