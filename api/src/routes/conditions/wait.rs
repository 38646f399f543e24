//! `POST /v1/conditions/{name}/waits`: gives a lock back, waits to be notified, and has the lock again.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Asker, LeaseAnswer, Name, Op, Share};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{LOCK_MUST, PROBLEMS};
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, LeaseSecret, LeaseWait, NamePath, typed},
    leases::{self, ID_MUST, LeaseView, TIME_LIMIT_MUST},
    openapi::examples,
    problem::{Code, Problem},
    routes::locks::lock,
    state::ApiState,
    telling::telling,
};

/// A wait.
#[derive(ToSchema)]
#[schema(as = NewConditionWait)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewWait {
    /// The lock that guards what is waited for.
    lock: String,
    /// Your lease of it, which is given back.
    lease_id: Uuid,
    /// The lease that you will have then: a new id.
    wait_id: Uuid,
    /// Seconds after which it no longer waits for a notify, and goes into the lock's line without one. Counts from the first request
    /// with this `wait_id`.
    #[schema(minimum = 0, maximum = 86400)]
    timeout: Option<f64>,
}

/// Wait on a condition
///
/// Gives the lock back and waits, in one step. After a notify the wait stands in the lock's line, and is answered 200 when the lock
/// is yours again, under `wait_id` and with a new fence: look at what you wait for again, it may have changed. Answered 202, repeat
/// it, or give up with `DELETE /v1/locks/{lock}/leases/{wait_id}`; then you do not hold the lock.
///
/// With a `timeout` the wait ends by itself, and the lock is yours again then too: `notified` tells which it was. `timeout` says for how
/// long a notify is waited for, `?wait` for how long this request is.
#[utoipa::path(
    post,
    path = "/v1/conditions/{name}/waits",
    operation_id = "wait_on_condition",
    tag = "coordination",
    params(NamePath, LeaseWait, LeaseSecret),
    request_body(content = NewWait, example = json!({
        "lock": "account:42", "lease_id": examples::LEASE_ID, "wait_id": "0d2cbb1e-0a3a-4b5e-8d0f-3e6b8f6f7a10"
    })),
    responses(
        (status = 200, description = "The lock is yours: you were notified, or the time limit is over.", body = LeaseView,
            headers(("Fencing-Token" = String, description = "The fence.")), example = json!(examples::lease_woken())),
        (status = 202, description = "It waits for a notify, or for the lock.", body = LeaseView,
            example = json!(examples::lease_parked())),
    ),
    extensions(("x-problems" = json!([
        NamePath::PROBLEMS, LeaseWait::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, PROBLEMS,
        [Code::HeldTwice, Code::TooManyWaiters]
    ]))),
)]
pub(crate) async fn wait(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseWait(patience): LeaseWait,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let of = fields.required("lock", LOCK_MUST, |value| typed::<String>(value)?.parse::<Name>().ok());
    let lease = fields.required("lease_id", ID_MUST, leases::id);
    let id = fields.required("wait_id", ID_MUST, leases::id);
    if lease.is_some() && lease == id {
        fields.refuse("wait_id", "must be another than lease_id");
    }
    let timeout = fields.optional("timeout", TIME_LIMIT_MUST, leases::time_limit);
    let (of, (lease, id)) = fields.finish(of.zip(lease.zip(id)))?;
    let line = name.to_string();
    let op = |asker: Asker| {
        let share = Share { id: lease, secret: secret.clone() };
        Op::Park { share, id, line: line.clone(), asker, timeout }
    };
    let LeaseAnswer { reply, untold } = state.coordination.obtain(&lock(caller.owner, of), id, patience, op).await?;
    Ok(telling(leases::answer(id, reply)?, untold))
}
