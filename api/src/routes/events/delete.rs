//! `POST /v1/events/{name}/delete`: as if nobody had ever used it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{coordination::Kind, store::AuditAction};

use crate::{
    callers::Caller,
    extract::{NamePath, OrderQuery},
    objects::{self, DELETE_PROBLEMS},
    problem::Problem,
    state::ApiState,
};

/// Delete an event
///
/// As if it had never been set: its generation begins again at 0. Whoever waits goes on waiting. (`DELETE` of its address clears it
/// only.) Safe to repeat.
#[utoipa::path(
    post,
    path = "/v1/events/{name}/delete",
    operation_id = "delete_event",
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
    objects::delete(&state, &caller, &query, (Kind::Event, name), AuditAction::DeleteEvent).await
}
