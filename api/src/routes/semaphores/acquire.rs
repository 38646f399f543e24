//! `POST /v1/semaphores/{name}/leases`: asks for permits, and waits for them in a line. Safe to repeat with the same `lease_id`.

use actix_web::{HttpResponse, web::Data};
use utoipa::ToSchema;
use uuid::Uuid;

use super::semaphore;
use crate::{
    callers::Caller,
    extract::{JsonBody, LeaseSecret, LeaseWait, NamePath},
    leases::{self, ACQUIRE_PROBLEMS, LeaseView, Of},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Permits that are wanted.
#[derive(ToSchema)]
#[schema(as = NewPermitLease)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewLease {
    /// New for each lease; made here where it is left out, but then the request cannot be repeated.
    lease_id: Option<Uuid>,
    /// A label, for people.
    #[schema(min_length = 1, max_length = 128)]
    owner: Option<String>,
    /// Seconds until it ends unless it is renewed.
    #[schema(minimum = 1, maximum = 600, default = 30)]
    ttl: Option<f64>,
    /// How many permits.
    #[schema(minimum = 1, maximum = 10000, default = 1)]
    permits: Option<i32>,
}

/// Acquire permits
///
/// As a lock is acquired. Who asks for many is not passed over by those who ask for few. Permits come back when their lease ends,
/// even if the work has not: renew it while you work.
#[utoipa::path(
    post,
    path = "/v1/semaphores/{name}/leases",
    operation_id = "acquire_permits",
    tag = "coordination",
    params(NamePath, LeaseWait, LeaseSecret),
    request_body(content = Option<NewLease>, example = json!({"lease_id": examples::LEASE_ID, "owner": "host-7", "permits": 2})),
    responses(
        (status = 200, description = "It is yours.", body = LeaseView,
            headers(("Fencing-Token" = String, description = "The fence.")), example = json!(examples::lease_held())),
        (status = 202, description = "It stands in the line.", body = LeaseView, example = json!(examples::lease_waiting())),
    ),
    extensions(("x-problems" = json!([
        NamePath::PROBLEMS, LeaseWait::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, ACQUIRE_PROBLEMS,
        [Code::NotConfigured, Code::NeverFits]
    ]))),
)]
pub(crate) async fn acquire(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseWait(wait): LeaseWait,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let wanted = leases::read(body.optional(), secret, Of::Permits)?;
    leases::acquire(&state, &semaphore(caller.owner, name), wait, wanted).await
}
