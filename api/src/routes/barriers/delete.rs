//! `DELETE /v1/barriers/{name}`: as if nobody had ever used it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{coordination::Kind, store::AuditAction};

use crate::{
    callers::Caller,
    extract::{NamePath, OrderQuery},
    objects::{self, DELETE_PROBLEMS},
    problem::Problem,
    state::ApiState,
};

/// Delete a barrier
///
/// With its size and all arrivals, which are answered 410. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/v1/barriers/{name}",
    operation_id = "delete_barrier",
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
    objects::delete(&state, &caller, &query, (Kind::Barrier, name), AuditAction::DeleteBarrier).await
}
