//! `PUT /v1/events/{name}`: sets it, and lets go who waits.

use actix_web::{HttpResponse, web::Data};

use super::EventView;
use crate::{callers::Caller, extract::NamePath, problem::Problem, state::ApiState};

/// Set an event
///
/// Everybody who waits for it goes on, in every process, also if it is cleared again at once. Safe to repeat.
#[utoipa::path(
    put,
    path = "/v1/events/{name}",
    operation_id = "set_event",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "Done.", body = EventView,
        example = json!({"name": "deployed", "set": true, "generation": 3}))),
    extensions(("x-problems" = json!(NamePath::PROBLEMS))),
)]
pub(crate) async fn set(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    super::flag(&state, caller.owner, name, true).await
}
