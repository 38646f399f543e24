//! `POST /v1/work-queues/{name}/dead-letters/put-back`: dead items come back to their places.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    coordination::{Op, Reply},
    store::{AuditAction, AuditOrder},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::queue;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, NamePath, OrderQuery, parse_id, typed},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// Items that one request puts back: one commit, while others who use the queue wait.
const ITEMS_MAX: usize = 500;

/// Which items.
#[derive(ToSchema)]
#[schema(as = DeadItems)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct PutBackSchema {
    /// Left out: the first 500.
    #[schema(max_items = 500)]
    item_ids: Option<Vec<Uuid>>,
}

/// What was put back.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadItemsPutBack)]
struct PutBack {
    /// How many. What is not dead stays as it is.
    put_back: i32,
}

/// Put dead letters back
///
/// The dead items named, or the first 500, go to their old places and may be fetched `max_attempts` times again. They may exceed
/// `maxsize`. To put all back, repeat it until it answers 0.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/dead-letters/put-back",
    operation_id = "put_back_dead_work_items",
    tag = "coordination",
    params(NamePath, OrderQuery),
    request_body(content = Option<PutBackSchema>, example = json!({})),
    responses((status = 200, description = "Done.", body = PutBack, example = json!({"put_back": 3}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, OrderQuery::PROBLEMS, JsonBody::PROBLEMS,
        [Code::NotConfigured, Code::QueueShutDown]]))),
)]
pub(crate) async fn put_back(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    query: OrderQuery,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.optional().unwrap_or(b"{}"))?;
    let named = fields.optional("item_ids", "must be a list of up to 500 UUIDs in lower case with hyphens", |value| {
        let ids: Vec<String> = typed(value)?;
        (ids.len() <= ITEMS_MAX).then_some(())?;
        ids.iter().map(|id| parse_id(id)).collect::<Option<Vec<Uuid>>>()
    });
    let named = fields.finish(Some(named))?;
    let order = query.order(&caller, AuditAction::PutBackDeadItems, &name)?;
    let address = queue(order.owner, name);
    let seen = state.coordination.look(&address).await?.filter(|seen| seen.settings.configured);
    seen.ok_or_else(|| refused(&Reply::NotConfigured))?;
    let items = match named {
        Some(items) => items,
        None => state.store.dead_item_ids(&address, i64::try_from(ITEMS_MAX).unwrap_or(i64::MAX)).await?,
    };
    let order = AuditOrder { detail: Some(json!({"item_ids": items})), ..order };
    match state.coordination.order(&address, Op::PutBack(items), order).await? {
        Reply::PutBack(put_back) => Ok(HttpResponse::Ok().json(PutBack { put_back })),
        other => Err(refused(&other)),
    }
}
