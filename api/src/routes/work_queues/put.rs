//! `POST /v1/work-queues/{name}/items`: puts an item in, and waits for room. Safe to repeat with the same `item_id`.

use std::time::Duration;

use actix_web::{HttpResponse, web::Data};
use bytes::Bytes;
use caraway_shared::{
    coordination::{Asker, LeaseAnswer, Put, Reply, limits},
    store::Storable,
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use super::queue;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, LeaseWait, NamePath, typed},
    leases::{self, ID_MUST, refused},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
    telling::telling,
};

/// An item.
#[derive(ToSchema)]
#[schema(as = NewWorkItem)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewItem {
    /// New for each item; made here where it is left out, but then the request cannot be repeated.
    item_id: Option<Uuid>,
    /// Any JSON, up to 64 KiB.
    payload: Value,
    /// The lowest leaves first, where the order is `priority`.
    #[schema(default = 0.0)]
    priority: Option<f64>,
    /// Seconds before which it is not to be fetched.
    #[schema(minimum = 0, maximum = 86400, default = 0)]
    delay: Option<f64>,
}

/// An item and whether it is in.
#[derive(Serialize, ToSchema)]
struct WorkItemPut {
    item_id: Uuid,
    /// It is in the queue, or was; else it waits for room.
    accepted: bool,
}

/// Put an item into a work queue
///
/// Answered 201 when it is committed, 200 when it was before. Where the queue is full: without `?wait` 409, with it the request waits
/// for room in its turn; answered 202, repeat it, or give the place up with `DELETE …/items/{item_id}`.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/items",
    operation_id = "put_work_item",
    tag = "coordination",
    params(NamePath, LeaseWait),
    request_body(content = NewItem, example = json!({"item_id": examples::LEASE_ID, "payload": {"to": "you"}})),
    responses(
        (status = 200, description = "It was put in before.", body = WorkItemPut,
            example = json!({"item_id": examples::LEASE_ID, "accepted": true})),
        (status = 201, description = "It is in the queue.", body = WorkItemPut,
            example = json!({"item_id": examples::LEASE_ID, "accepted": true})),
        (status = 202, description = "There is no room yet.", body = WorkItemPut,
            example = json!({"item_id": examples::LEASE_ID, "accepted": false})),
    ),
    extensions(("x-problems" = json!([
        NamePath::PROBLEMS, LeaseWait::PROBLEMS, JsonBody::PROBLEMS,
        [Code::EmptyBody, Code::NotConfigured, Code::QueueFull, Code::QueueShutDown, Code::TooManyWaiters,
            Code::PayloadTooLarge, Code::ItemIdReused, Code::LeaseLost, Code::QuotaExceeded, Code::Overloaded]
    ]))),
)]
pub(crate) async fn put(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    LeaseWait(wait): LeaseWait,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let put = read(body.required()?)?;
    let item_id = put.id;
    // not held while it waits for room, which may be long
    drop(state.quotas.store(&caller, put.payload.len(), Storable::WorkItem(item_id)).await?);
    let LeaseAnswer { reply, untold } = state.coordination.put(&queue(caller.owner, name), wait, put).await?;
    let (mut response, accepted) = match reply {
        Reply::Accepted { known: false } => (HttpResponse::Created(), true),
        Reply::Accepted { known: true } => (HttpResponse::Ok(), true),
        Reply::Waiting(_) => (HttpResponse::Accepted(), false),
        Reply::Reused => {
            let detail = "another payload was put in under this id; choose a new one";
            return Err(Problem::new(Code::ItemIdReused, detail));
        }
        other => return Err(refused(&other)),
    };
    Ok(telling(response.json(WorkItemPut { item_id, accepted }), untold))
}

fn read(body: &[u8]) -> Result<Put, Problem> {
    let mut fields = Fields::of(body)?;
    let id = fields.optional("item_id", ID_MUST, leases::id).unwrap_or_else(Uuid::new_v4);
    let payload = fields.any("payload").map(|value| Bytes::copy_from_slice(value.get().as_bytes()));
    let priority = fields.optional("priority", "must be a number", typed::<f64>).unwrap_or(0.0);
    let delay = fields.optional("delay", "must be a number of seconds from 0 to 86400", delay).unwrap_or(0);
    let payload = fields.finish(payload)?;
    if payload.len() > limits::PAYLOAD_BYTES_MAX {
        let detail =
            format!("a payload may have {} bytes; store more as an item and send its id", limits::PAYLOAD_BYTES_MAX);
        return Err(Problem::new(Code::PayloadTooLarge, detail).with("bytes_max", limits::PAYLOAD_BYTES_MAX));
    }
    Ok(Put { id, priority, delay, payload, asker: Asker::default() })
}

/// A delay, in milliseconds.
pub(super) fn delay(value: &RawValue) -> Option<i64> {
    let delay = Duration::try_from_secs_f64(typed(value)?).ok()?;
    i64::try_from(delay.as_millis()).ok().filter(|delay| *delay <= limits::DELAY_MAX)
}
