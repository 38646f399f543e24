//! `DELETE /v1/locks/{name}`: as if nobody had ever used it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{coordination::Kind, store::AuditAction};

use crate::{
    callers::Caller,
    extract::{NamePath, OrderQuery},
    objects::{self, DELETE_PROBLEMS},
    problem::Problem,
    state::ApiState,
};

/// Delete a lock
///
/// Whoever holds it loses it and whoever waits is answered 410, at once. Breaking it passes it on instead. 409 `lease_in_use` where a
/// transaction of a holder stands on it. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/v1/locks/{name}",
    operation_id = "delete_lock",
    tag = "coordination",
    params(NamePath, OrderQuery),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, OrderQuery::PROBLEMS, DELETE_PROBLEMS]))),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    query: OrderQuery,
) -> Result<HttpResponse, Problem> {
    objects::delete(&state, &caller, &query, (Kind::Lock, name), AuditAction::DeleteLock).await
}
