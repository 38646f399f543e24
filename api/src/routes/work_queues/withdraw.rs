//! `DELETE /v1/work-queues/{name}/items/{item_id}`: a producer gives up its place. Safe to repeat.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply};

use super::queue;
use crate::{
    callers::Caller,
    extract::ItemOfQueue,
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// Give up putting an item in
///
/// Its place goes to the next producer, and a request with this `item_id` that is still on its way is refused. 409 tells that the
/// item is in already: somebody will fetch it, or has.
#[utoipa::path(
    delete,
    path = "/v1/work-queues/{name}/items/{item_id}",
    operation_id = "withdraw_work_item",
    tag = "coordination",
    params(ItemOfQueue),
    responses((status = 204, description = "It is not in, and will not be.")),
    extensions(("x-problems" = json!([ItemOfQueue::PROBLEMS, [Code::NotConfigured, Code::ItemAlreadyIn]]))),
)]
pub(crate) async fn withdraw(
    state: Data<ApiState>,
    caller: Caller,
    ItemOfQueue(name, item): ItemOfQueue,
) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&queue(caller.owner, name), Op::Withdraw(item)).await? {
        Reply::Released => Ok(HttpResponse::NoContent().finish()),
        other => Err(refused(&other)),
    }
}
