//! `PUT /v1/work-queues/{name}/leases/{lease_id}`: more time for an item.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::Share;

use super::queue;
use crate::{
    callers::Caller,
    extract::{JsonBody, LeasePath, LeaseSecret},
    leases::{self, LeaseView, RENEW_PROBLEMS, Renewal},
    openapi::examples,
    problem::Problem,
    state::ApiState,
};

/// Keep an item longer
///
/// Its time begins anew, up to an hour after it was fetched. 410 tells that it came back before.
#[utoipa::path(
    put,
    path = "/v1/work-queues/{name}/leases/{lease_id}",
    operation_id = "extend_work_item",
    tag = "coordination",
    params(LeasePath, LeaseSecret),
    request_body(content = Option<Renewal>, example = json!({"ttl": 30})),
    responses((status = 200, description = "It is yours still.", body = LeaseView,
        headers(("Fencing-Token" = String, description = "The fence.")), example = json!(examples::lease_held()))),
    extensions(("x-problems" = json!([LeasePath::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, RENEW_PROBLEMS]))),
)]
pub(crate) async fn extend(
    state: Data<ApiState>,
    caller: Caller,
    LeasePath(name, id): LeasePath,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    leases::renew(&state, &queue(caller.owner, name), Share { id, secret }, body.optional()).await
}
