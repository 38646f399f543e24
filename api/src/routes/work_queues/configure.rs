//! `PUT /v1/work-queues/{name}`: makes it, or changes its settings.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply, limits};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{ItemOrder, queue};
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, NamePath, typed},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// How a queue is to work.
#[derive(ToSchema)]
#[schema(as = NewWorkQueueSettings)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct Wanted {
    /// A new queue is `fifo`. Not to be changed while items are in it.
    order: Option<ItemOrder>,
    /// How many items may be ready before producers wait; null: any number, as for a new queue.
    #[schema(minimum = 1, maximum = 10000)]
    maxsize: Option<i32>,
    /// An item that was fetched so often and is not done is dead; 5 for a new queue.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<i32>,
}

/// How a queue works.
#[derive(Serialize, ToSchema)]
struct WorkQueueSettings {
    order: ItemOrder,
    /// How many items may be ready before producers wait; null: any number.
    maxsize: Option<i32>,
    /// An item that was fetched so often and is not done is dead.
    max_attempts: i32,
}

/// Make or change a work queue
///
/// What is left out stays as it is. The order changes only while nothing is in the queue: else 409 `queue_not_empty`. Priorities count
/// only of items that were put in while the order was `priority`.
#[utoipa::path(
    put,
    path = "/v1/work-queues/{name}",
    operation_id = "configure_work_queue",
    tag = "coordination",
    params(NamePath),
    request_body(content = Option<Wanted>, example = json!({"order": "priority", "maxsize": 100})),
    responses((status = 200, description = "It works like this.", body = WorkQueueSettings,
        example = json!({"order": "priority", "maxsize": 100, "max_attempts": 5}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, JsonBody::PROBLEMS, [Code::QueueNotEmpty]]))),
)]
pub(crate) async fn configure(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.optional().unwrap_or(b"{}"))?;
    let within = |value: &RawValue, max: i32| typed(value).filter(|number| (1..=max).contains(number));
    let order = fields.optional("order", "must be fifo, lifo or priority", typed::<ItemOrder>);
    let maxsize = fields.nullable("maxsize", "must be a whole number from 1 to 10000, or null", |value| {
        within(value, limits::QUEUE_MAX)
    });
    let attempts = fields
        .optional("max_attempts", "must be a whole number from 1 to 100", |value| within(value, limits::ATTEMPTS_MAX));
    let op = Op::Configure { capacity: maxsize, order: order.map(Into::into), attempts_max: attempts };
    let op = fields.finish(Some(op))?;
    match state.coordination.change(&queue(caller.owner, name), op).await? {
        Reply::Done(settings) => Ok(HttpResponse::Ok().json(WorkQueueSettings {
            order: settings.order.into(),
            maxsize: settings.capacity,
            max_attempts: settings.attempts_max,
        })),
        other => Err(refused(&other)),
    }
}
