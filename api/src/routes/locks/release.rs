//! `DELETE /v1/locks/{name}/leases/{lease_id}`: gives it back, or gives up the place in the line. Safe to repeat.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::Share;

use super::lock;
use crate::{
    callers::Caller,
    extract::{LeasePath, LeaseSecret},
    leases::{self, GivenUp, RELEASE_PROBLEMS},
    problem::Problem,
    state::ApiState,
};

/// Release a lock
///
/// The next in the line has it in the same commit. Also gives up a place in the line, and refuses a request with this `lease_id`
/// that is still on its way. A wait on a condition that had been notified is answered 200. 410 tells that it had ended before: what it protected was not exclusive to the end.
#[utoipa::path(
    delete,
    path = "/v1/locks/{name}/leases/{lease_id}",
    operation_id = "release_lock",
    tag = "coordination",
    params(LeasePath, LeaseSecret),
    responses(
        (status = 200, description = "It was a wait on a condition, and had been notified.", body = GivenUp,
            example = json!({"notified": true})),
        (status = 204, description = "It is given back."),
    ),
    extensions(("x-problems" = json!([LeasePath::PROBLEMS, LeaseSecret::PROBLEMS, RELEASE_PROBLEMS]))),
)]
pub(crate) async fn release(
    state: Data<ApiState>,
    caller: Caller,
    LeasePath(name, id): LeasePath,
    LeaseSecret(secret): LeaseSecret,
) -> Result<HttpResponse, Problem> {
    leases::release(&state, &lock(caller.owner, name), Share { id, secret }).await
}
