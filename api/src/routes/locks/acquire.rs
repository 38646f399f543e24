//! `POST /v1/locks/{name}/leases`: asks for a lock, and waits for it in a line. Safe to repeat with the same `lease_id`.

use actix_web::{HttpResponse, web::Data};
use utoipa::ToSchema;
use uuid::Uuid;

use super::lock;
use crate::{
    callers::Caller,
    extract::{JsonBody, LeaseSecret, LeaseWait, NamePath},
    leases::{self, ACQUIRE_PROBLEMS, LeaseView, Of},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// A lock that is wanted.
#[derive(ToSchema)]
#[schema(as = NewLockLease)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewLease {
    /// New for each lease; made here where it is left out, but then the request cannot be repeated.
    lease_id: Option<Uuid>,
    /// A label, for people; and whoever re-enters must give the same.
    #[schema(min_length = 1, max_length = 128)]
    owner: Option<String>,
    /// Seconds until it ends unless it is renewed.
    #[schema(minimum = 1, maximum = 600, default = 30)]
    ttl: Option<f64>,
    /// Whether the owner may hold it several times, each time as a lease of its own with the same fence.
    #[schema(default = false)]
    reentrant: Option<bool>,
    /// Only where the owner holds it with this fence: re-entry, and never a new start.
    #[schema(pattern = "^[0-9]{1,18}$")]
    expect_fence: Option<String>,
}

/// Acquire a lock
///
/// Without `?wait` at once or not at all. With it the request stands in a line, first come, first served, in whatever API
/// process; answered 202, repeat it with the same `lease_id` and the place is kept. A lock that is yours ends after `ttl` seconds
/// unless it is renewed. **It can end while you work**: pass the fence to what you act on.
#[utoipa::path(
    post,
    path = "/v1/locks/{name}/leases",
    operation_id = "acquire_lock",
    tag = "coordination",
    params(NamePath, LeaseWait, LeaseSecret),
    request_body(content = Option<NewLease>, example = json!({"lease_id": examples::LEASE_ID, "owner": "host-7", "ttl": 30})),
    responses(
        (status = 200, description = "It is yours.", body = LeaseView,
            headers(("Fencing-Token" = String, description = "The fence.")), example = json!(examples::lease_held())),
        (status = 202, description = "It stands in the line.", body = LeaseView, example = json!(examples::lease_waiting())),
    ),
    extensions(("x-problems" = json!([
        NamePath::PROBLEMS, LeaseWait::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS, ACQUIRE_PROBLEMS,
        [Code::TooManyHolds]
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
    let wanted = leases::read(body.optional(), secret, Of::Lock)?;
    leases::acquire(&state, &lock(caller.owner, name), wait, wanted).await
}
