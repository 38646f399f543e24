//! `POST /v1/work-queues/{name}/leases/{lease_id}/give-back`: the item comes back to its place. Safe to repeat.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply, Share};
use utoipa::ToSchema;

use super::{put::delay, queue};
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, LeasePath, LeaseSecret},
    leases::{RELEASE_PROBLEMS, refused},
    problem::Problem,
    state::ApiState,
};

/// When it may be fetched again.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct GiveBack {
    /// Seconds.
    #[schema(minimum = 0, maximum = 86400, default = 0)]
    delay: Option<f64>,
}

/// Give an item back
///
/// It goes to its old place, at once or after a delay. The fetch counts: after `max_attempts` of them it is dead. Also gives up
/// waiting for an item, and is the way to do so for who may have missed the answer with it.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/leases/{lease_id}/give-back",
    operation_id = "give_back_work_item",
    tag = "coordination",
    params(LeasePath, LeaseSecret),
    request_body(content = Option<GiveBack>, example = json!({"delay": 5})),
    responses((status = 204, description = "It is given back.")),
    extensions(("x-problems" = json!([LeasePath::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, RELEASE_PROBLEMS]))),
)]
pub(crate) async fn give_back(
    state: Data<ApiState>,
    caller: Caller,
    LeasePath(name, id): LeasePath,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.optional().unwrap_or(b"{}"))?;
    let delay = fields.optional("delay", "must be a number of seconds from 0 to 86400", delay).unwrap_or(0);
    let delay = fields.finish(Some(delay))?;
    match state.coordination.change(&queue(caller.owner, name), Op::GiveBack(Share { id, secret }, delay)).await? {
        Reply::Released => Ok(HttpResponse::NoContent().finish()),
        other => Err(refused(&other)),
    }
}
