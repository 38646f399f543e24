//! `PUT /v1/semaphores/{name}/leases/{lease_id}`: more time, counted from now.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::Share;

use super::semaphore;
use crate::{
    callers::Caller,
    extract::{JsonBody, LeasePath, LeaseSecret},
    leases::{self, LeaseView, RENEW_PROBLEMS, Renewal},
    openapi::examples,
    problem::Problem,
    state::ApiState,
};

/// Renew permits
///
/// Its time begins anew, up to an hour after it was granted; renew when a third of it is over. 410 tells that it has ended: stop
/// what it protected.
#[utoipa::path(
    put,
    path = "/v1/semaphores/{name}/leases/{lease_id}",
    operation_id = "renew_permits",
    tag = "coordination",
    params(LeasePath, LeaseSecret),
    request_body(content = Option<Renewal>, example = json!({"ttl": 30})),
    responses((status = 200, description = "It is yours still.", body = LeaseView,
        headers(("Fencing-Token" = String, description = "The fence.")), example = json!(examples::lease_held()))),
    extensions(("x-problems" = json!([LeasePath::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, RENEW_PROBLEMS]))),
)]
pub(crate) async fn renew(
    state: Data<ApiState>,
    caller: Caller,
    LeasePath(name, id): LeasePath,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    leases::renew(&state, &semaphore(caller.owner, name), Share { id, secret }, body.optional()).await
}
