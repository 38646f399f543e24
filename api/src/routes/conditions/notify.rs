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
    /// How many; as many may wait as one request notifies.
    #[schema(minimum = 0, maximum = 10000, default = 1)]
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
    let many =
        |value: &RawValue| typed::<i32>(value).filter(|count| (0..=limits::WAITERS_MAX).contains(&i64::from(*count)));
    let count = fields.optional("count", "must be a whole number from 0 to 10000", many).unwrap_or(1);
    let (of, id) = fields.finish(of.zip(id))?;
    let (lock, share, mut notified) = (lock(caller.owner, of), Share { id, secret }, 0_i32);
    // as many at a time as one step moves: who is notified has to wait for the lock, which the caller holds
    loop {
        let at_once = (count - notified).min(limits::NOTIFIED_MAX);
        let op = Op::Notify { share: share.clone(), line: name.to_string(), count: at_once };
        match state.coordination.change(&lock, op).await? {
            Reply::Notified(moved) => {
                notified += moved;
                if moved < at_once || notified == count {
                    return Ok(HttpResponse::Ok().json(Notified { notified }));
                }
            }
            // it was lost in the middle: those who were notified are, and the caller is told of them
            _ if notified > 0 => return Ok(HttpResponse::Ok().json(Notified { notified })),
            other => return Err(refused(&other)),
        }
    }
}
