//! `POST /v1/conditions/{name}/notify`: those who wait, one or all, go into the lock's line.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Name, Op, Reply, Share, limits};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{LOCK_MUST, PROBLEMS};
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, LeaseSecret, NamePath, typed},
    leases::{self, ID_MUST, refused},
    openapi::examples,
    problem::Problem,
    routes::locks::lock,
    state::ApiState,
};

/// Whom to notify.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct Notify {
    /// The lock that guards what is waited for.
    lock: String,
    /// Your lease of it.
    lease_id: Uuid,
    /// How many; 1000 are all that one request moves.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    count: Option<i32>,
}

/// Who was notified.
#[derive(Serialize, ToSchema)]
struct Notified {
    /// How many stand in the lock's line now. They have it one after the other, when you have given it back.
    notified: i32,
}

/// Notify those who wait on a condition
///
/// The first who wait, in their order. You must hold the lock. Where nobody waits nothing happens.
#[utoipa::path(
    post,
    path = "/v1/conditions/{name}/notify",
    operation_id = "notify_condition",
    tag = "coordination",
    params(NamePath, LeaseSecret),
    request_body(content = Notify, example = json!({"lock": "account:42", "lease_id": examples::LEASE_ID, "count": 1})),
    responses((status = 200, description = "Done.", body = Notified, example = json!({"notified": 1}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, PROBLEMS]))),
)]
pub(crate) async fn notify(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let of = fields.required("lock", LOCK_MUST, |value| typed::<String>(value)?.parse::<Name>().ok());
    let id = fields.required("lease_id", ID_MUST, leases::id);
    let many = |value: &RawValue| typed(value).filter(|count| (1..=limits::NOTIFIED_MAX).contains(count));
    let count = fields.optional("count", "must be a whole number from 1 to 1000", many).unwrap_or(1);
    let (of, id) = fields.finish(of.zip(id))?;
    let op = Op::Notify { share: Share { id, secret }, line: name.to_string(), count };
    match state.coordination.change(&lock(caller.owner, of), op).await? {
        Reply::Notified(notified) => Ok(HttpResponse::Ok().json(Notified { notified })),
        other => Err(refused(&other)),
    }
}
