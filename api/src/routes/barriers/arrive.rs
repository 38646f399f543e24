//! `POST /v1/barriers/{name}/arrivals`: arrives, and waits until it opens. Safe to repeat with the same `arrival_id`.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::coordination::{LeaseAnswer, Op, Reply};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::barrier;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, LeaseWait, NamePath},
    leases::{self, ID_MUST, TIME_LIMIT_MUST, refused},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// An arrival.
#[derive(ToSchema)]
#[schema(as = NewArrival)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct AtBarrier {
    /// New for each arrival: however often it is sent, it counts once.
    arrival_id: Uuid,
    /// Seconds after which it breaks the barrier for all, unless that has opened before; as Python's `wait(timeout)` does. Counts from
    /// the first request with this `arrival_id`.
    #[schema(minimum = 0, maximum = 86400)]
    timeout: Option<f64>,
}

/// An arrival, and what has come of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Arrival)]
pub(super) struct Outcome {
    arrival_id: Uuid,
    open: bool,
    /// Which opening it was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    generation: Option<i64>,
    /// The how many-th of the arrivals this was, from 0: so exactly one of them is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    index: Option<i64>,
    /// How many have arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    arrived: Option<i64>,
}

impl Outcome {
    /// One that has passed.
    pub(super) fn passed(arrival_id: Uuid, generation: i64, index: i64) -> Self {
        Self { arrival_id, open: true, generation: Some(generation), index: Some(index), arrived: None }
    }
}

/// Arrive at a barrier
///
/// The arrival that completes the number opens it for all of them, and it is closed behind them. An arrival counts for a day, also
/// if nobody waits with it; with a `timeout` it breaks the barrier when that is over: 409 `broken_barrier` for all who stand there, and
/// for all who come before a reset. With `?wait=0` it counts down a latch.
#[utoipa::path(
    post,
    path = "/v1/barriers/{name}/arrivals",
    operation_id = "arrive_at_barrier",
    tag = "coordination",
    params(NamePath, LeaseWait),
    request_body(content = AtBarrier, example = json!({"arrival_id": examples::LEASE_ID})),
    responses(
        (status = 200, description = "It is open for this arrival.", body = Outcome,
            example = json!({"arrival_id": examples::LEASE_ID, "open": true, "generation": 1, "index": 0})),
        (status = 202, description = "It counts, and others are missing.", body = Outcome,
            example = json!({"arrival_id": examples::LEASE_ID, "open": false, "arrived": 1})),
    ),
    extensions(("x-problems" = json!([
        NamePath::PROBLEMS, LeaseWait::PROBLEMS, JsonBody::PROBLEMS,
        [Code::EmptyBody, Code::NotConfigured, Code::LeaseLost, Code::BrokenBarrier, Code::TooManyWaiters]
    ]))),
)]
pub(crate) async fn arrive(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseWait(wait): LeaseWait,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let id = fields.required("arrival_id", ID_MUST, leases::id);
    let timeout = fields.optional("timeout", TIME_LIMIT_MUST, leases::time_limit);
    let id = fields.finish(id)?;
    let address = barrier(caller.owner, name);
    let LeaseAnswer { reply, untold } =
        state.coordination.obtain(&address, id, wait, |_| Op::Arrive { id, timeout }).await?;
    untold.told(); // an arrival counts, whoever hears of it
    let (mut response, view) = match reply {
        Reply::Passed(generation, index) => (HttpResponse::Ok(), Outcome::passed(id, generation, index)),
        Reply::Arrived { count, .. } => {
            let (generation, index, arrived) = (None, None, Some(count));
            (HttpResponse::Accepted(), Outcome { arrival_id: id, open: false, generation, index, arrived })
        }
        other => return Err(refused(&other)),
    };
    Ok(response.insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}
