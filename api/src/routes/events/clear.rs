//! `DELETE /v1/events/{name}`: clears it.

use actix_web::{HttpResponse, web::Data};

use super::EventView;
use crate::{callers::Caller, extract::NamePath, problem::Problem, state::ApiState};

/// Clear an event
///
/// Who waits from now on waits until it is set again. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/v1/events/{name}",
    operation_id = "clear_event",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "Done.", body = EventView,
        example = json!({"name": "deployed", "set": false, "generation": 3}))),
    extensions(("x-problems" = json!(NamePath::PROBLEMS))),
)]
pub(crate) async fn clear(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    super::flag(&state, caller.owner, name, false).await
}
