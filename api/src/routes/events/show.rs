//! `GET /v1/events/{name}`: whether it is set; with `?wait=N` when it is.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::coordination::Settings;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{EventView, event};
use crate::{
    callers::Caller,
    extract::{NamePath, Query, wait},
    problem::Problem,
    state::ApiState,
};

/// What may be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct EventQuery {
    /// Answer when it is set, or was since the generation that you know, at the latest after this many seconds. More than 60
    /// count as 60.
    #[param(minimum = 0, default = 0)]
    wait: Option<f64>,
    /// The `generation` that you know: then nothing is missed between two requests.
    #[param(minimum = 0)]
    since: Option<i64>,
}

/// An event, and what has become of what was waited for.
#[derive(Serialize, ToSchema)]
#[schema(as = SeenEvent)]
struct Seen {
    #[serde(flatten)]
    event: EventView,
    /// It is set, or was since the generation that you know; without `since`, since the request came.
    fired: bool,
}

/// Show an event, or wait for it
///
/// One that nobody has used is clear. Who waits and repeats the request passes the `generation` of the answer before as `since`:
/// then it sees also what was set and cleared in between. `fired` tells whether what was waited for has come, also where it is clear
/// again.
#[utoipa::path(
    get,
    path = "/v1/events/{name}",
    operation_id = "get_event",
    tag = "coordination",
    params(NamePath, EventQuery),
    responses((status = 200, description = "The event, set or not.", body = Seen,
        example = json!({"name": "deployed", "set": true, "generation": 3, "fired": true}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, Query::PROBLEMS]))),
)]
pub(crate) async fn show(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let patience = query.optional("wait", "must be a number of seconds, 0 or more", wait::patience).unwrap_or_default();
    let generation = |text: &str| text.parse::<i64>().ok().filter(|since| *since >= 0);
    let since = query.optional("since", "must be a generation, 0 or more", generation);
    query.finish(())?;
    let address = event(caller.owner, name.clone());
    // who names no generation waits for what comes after this moment
    let since = match since {
        None if !patience.is_zero() => {
            state.coordination.look(&address).await?.map_or(0, |seen| seen.settings.generation)
        }
        since => since.unwrap_or(i64::MAX),
    };
    let enough = |settings: &Settings| settings.flag || settings.generation > since;
    let seen = state.coordination.observe(&address, patience, |seen| enough(&seen.settings)).await?;
    let settings = seen.map(|seen| seen.settings).unwrap_or_default();
    let seen = Seen { fired: enough(&settings), event: EventView::of(&name, &settings) };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(seen))
}
