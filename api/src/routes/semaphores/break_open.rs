//! `POST /v1/semaphores/{name}/break`: takes permits from who holds them.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::AuditAction;

use super::semaphore;
use crate::{
    callers::Caller,
    extract::{JsonBody, NamePath, OrderQuery},
    objects::{self, BREAK_PROBLEMS, BreakSchema},
    problem::Problem,
    state::ApiState,
};

/// Break a lease of permits
///
/// Takes them from who holds them with this fence: the next in the line have them in the same commit. Their holder
/// hears 410 when it renews or releases. 409 `lease_in_use` where a
/// transaction of the holder stands on it. **It does not stop what the holder does**: it only lets others in.
#[utoipa::path(
    post,
    path = "/v1/semaphores/{name}/break",
    operation_id = "break_permits",
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
    let order = query.order(&caller, AuditAction::BreakPermits, &name)?;
    objects::break_open(&state, &semaphore(order.owner, name), order, body.required()?).await
}
