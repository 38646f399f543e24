//! `DELETE /v1/semaphores/{name}/leases/{lease_id}`: gives it back, or gives up the place in the line. Safe to repeat.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::Share;

use super::semaphore;
use crate::{
    callers::Caller,
    extract::{LeasePath, LeaseSecret},
    leases::{self, RELEASE_PROBLEMS},
    problem::Problem,
    state::ApiState,
};

/// Release permits
///
/// The next in the line have them in the same commit. Also gives up a place in the line, and refuses a request with this `lease_id`
/// that is still on its way. 410 tells that it had ended before: what it protected was not exclusive to the end.
#[utoipa::path(
    delete,
    path = "/v1/semaphores/{name}/leases/{lease_id}",
    operation_id = "release_permits",
    tag = "coordination",
    params(LeasePath, LeaseSecret),
    responses((status = 204, description = "It is given back.")),
    extensions(("x-problems" = json!([LeasePath::PROBLEMS, LeaseSecret::PROBLEMS, RELEASE_PROBLEMS]))),
)]
pub(crate) async fn release(
    state: Data<ApiState>,
    caller: Caller,
    LeasePath(name, id): LeasePath,
    LeaseSecret(secret): LeaseSecret,
) -> Result<HttpResponse, Problem> {
    leases::release(&state, &semaphore(caller.owner, name), Share { id, secret }).await
}
