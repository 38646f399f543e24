//! `POST /v1/locks/{name}/break`: takes it from who holds it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::AuditAction;

use super::lock;
use crate::{
    callers::Caller,
    extract::{JsonBody, NamePath, OrderQuery},
    objects::{self, BREAK_PROBLEMS, BreakSchema},
    problem::Problem,
    state::ApiState,
};

/// Break a lock
///
/// Takes it from who holds it with this fence: the next in the line has it in the same commit, and the old fence is below all that follow. Its
/// holder hears 410 when it renews or releases. 409 `lease_in_use` where a
/// transaction of the holder stands on it. **It does not stop what the holder does**: it only lets others in.
#[utoipa::path(
    post,
    path = "/v1/locks/{name}/break",
    operation_id = "break_lock",
    tag = "coordination",
    params(NamePath, OrderQuery),
    request_body(content = BreakSchema, example = json!({"fence": "86016"})),
    responses((status = 204, description = "It is broken.")),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, OrderQuery::PROBLEMS, JsonBody::PROBLEMS, BREAK_PROBLEMS]))),
)]
pub(crate) async fn break_open(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    query: OrderQuery,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let order = query.order(&caller, AuditAction::BreakLock, &name)?;
    objects::break_open(&state, &lock(order.owner, name), order, body.required()?).await
}
