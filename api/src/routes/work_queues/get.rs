//! `POST /v1/work-queues/{name}/leases`: fetches an item, and waits for one. Safe to repeat with the same `lease_id`.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::coordination::{Asker, Get, LeaseAnswer, Reply, Terms, limits, seconds};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::queue;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, LeaseSecret, LeaseWait, NamePath, typed},
    leases::{self, ID_MUST, TTL_MUST, refused},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
    telling::telling,
};

/// When an item is done with.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Ack {
    /// When it is said to be: it may come to somebody again, and is never lost.
    Manual,
    /// When the answer is written: it comes to nobody again, and is lost if the answer is. A client that hung up before has not
    /// fetched it.
    Auto,
}

/// What is wanted.
#[derive(ToSchema)]
#[schema(as = NewItemLease)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewLease {
    /// New for each fetch; made here where it is left out, but then the request cannot be repeated.
    lease_id: Option<Uuid>,
    /// A label, for people.
    #[schema(min_length = 1, max_length = 128)]
    owner: Option<String>,
    /// Seconds after which the item comes back unless it is done or the lease is renewed.
    #[schema(minimum = 1, maximum = 600, default = 30)]
    ttl: Option<f64>,
    ack: Option<Ack>,
    /// On a queue that is shut down: whether to wait for what others have fetched, which may come back. False: be told
    /// `queue_shut_down` as soon as nothing is ready, as Python's `get` is.
    #[schema(default = true)]
    until_finished: Option<bool>,
}

/// An item that was fetched.
#[derive(Serialize, ToSchema)]
#[schema(as = FetchedItem)]
struct Fetched {
    /// By this id it is done with, given back, or kept longer.
    lease_id: Uuid,
    item_id: Uuid,
    /// How often it was fetched, this time included.
    attempt: i32,
    /// Greater than that of every fetch before: a decimal number.
    fence: String,
    /// Seconds from the moment at which this was answered.
    expires_in: f64,
    /// As it was put in.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
}

/// That there is none yet.
#[derive(Serialize, ToSchema)]
#[schema(as = ItemWait)]
struct Waits {
    lease_id: Uuid,
    /// How many consumers wait.
    waiting: i64,
}

/// Fetch an item from a work queue
///
/// It is yours until the lease ends; then somebody else may have it, so do with it only what can be done twice, or pass the fence on.
/// Where nothing is ready: without `?wait` 204, with it the request waits in its turn; answered 202, repeat it with the same
/// `lease_id`.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/leases",
    operation_id = "get_work_item",
    tag = "coordination",
    params(NamePath, LeaseWait, LeaseSecret),
    request_body(content = Option<NewLease>, example = json!({"lease_id": examples::LEASE_ID, "ttl": 60})),
    responses(
        (status = 200, description = "An item.", body = Fetched, example = json!({
            "lease_id": examples::LEASE_ID, "item_id": examples::ITEM_ID, "attempt": 1, "fence": "94208", "expires_in": 60.0,
            "payload": {"to": "you"}
        })),
        (status = 202, description = "There is none yet.", body = Waits,
            example = json!({"lease_id": examples::LEASE_ID, "waiting": 1})),
        (status = 204, description = "Nothing is ready."),
    ),
    extensions(("x-problems" = json!([
        NamePath::PROBLEMS, LeaseWait::PROBLEMS, LeaseSecret::PROBLEMS, JsonBody::PROBLEMS,
        [Code::NotConfigured, Code::LeaseLost, Code::QueueShutDown, Code::TooManyWaiters]
    ]))),
)]
pub(crate) async fn get(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseWait(wait): LeaseWait,
    LeaseSecret(secret): LeaseSecret,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let get = read(body.optional(), secret)?;
    let lease_id = get.id;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    let LeaseAnswer { reply, untold } = state.coordination.get(&queue(caller.owner, name), wait, get).await?;
    match reply {
        Reply::Fetched(fetched) => {
            let payload = String::from_utf8(fetched.payload.to_vec()).map_err(Problem::internal)?;
            let fence = fetched.grant.fence.to_string();
            response.insert_header(("Fencing-Token", fence.clone()));
            let response = response.json(Fetched {
                lease_id,
                item_id: fetched.item,
                attempt: fetched.attempt,
                fence,
                expires_in: seconds(fetched.grant.left),
                payload: RawValue::from_string(payload).map_err(Problem::internal)?,
            });
            Ok(telling(response, untold))
        }
        Reply::Waiting(waiting) => Ok(telling(HttpResponse::Accepted().json(Waits { lease_id, waiting }), untold)),
        Reply::Empty => Ok(HttpResponse::NoContent().finish()),
        other => Err(refused(&other)),
    }
}

fn read(body: Option<&[u8]>, secret: Option<Vec<u8>>) -> Result<Get, Problem> {
    let mut fields = Fields::of(body.unwrap_or(b"{}"))?;
    let id = fields.optional("lease_id", ID_MUST, leases::id).unwrap_or_else(Uuid::new_v4);
    let owner = fields.optional("owner", "must be a string of 1 to 128 bytes", leases::label).unwrap_or_default();
    let ttl_ms = fields.optional("ttl", TTL_MUST, leases::ttl).unwrap_or(limits::TTL_DEFAULT);
    let ack = fields.optional("ack", "must be manual or auto", typed::<Ack>).unwrap_or(Ack::Manual);
    let waits = fields.optional("until_finished", "must be true or false", typed).unwrap_or(true);
    let terms = Terms { owner, permits: 1, ttl_ms, reentrant: false, secret, leaves_empty: !waits };
    fields.finish(Some(Get { id, terms, auto: ack == Ack::Auto, asker: Asker::default() }))
}
