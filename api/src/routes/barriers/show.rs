//! `GET /v1/barriers/{name}`: how many have arrived; with `?wait=N` when it opens.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::{coordination::Reply, store::coordination::ObjectView};
use utoipa::IntoParams;

use super::{BarrierView, barrier};
use crate::{
    callers::Caller,
    extract::{NamePath, Query, wait},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// What may be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct BarrierQuery {
    /// Answer when it has been open oftener than `since`, or is broken, at the latest after this many seconds. More than 60 count as 60.
    #[param(minimum = 0, default = 0)]
    wait: Option<f64>,
    /// The `generation` that you know; a latch is open at 1.
    #[param(minimum = 0, default = 0)]
    since: Option<i64>,
}

/// Show a barrier, or wait for it
///
/// Who does not arrive itself can wait here for those who do, as for a latch.
#[utoipa::path(
    get,
    path = "/v1/barriers/{name}",
    operation_id = "get_barrier",
    tag = "coordination",
    params(NamePath, BarrierQuery),
    responses((status = 200, description = "The barrier, open or not.", body = BarrierView,
        example = json!({"name": "loaded", "parties": 3, "arrived": 2, "generation": 0, "broken": false}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, Query::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn show(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let patience = query.optional("wait", "must be a number of seconds, 0 or more", wait::patience).unwrap_or_default();
    let generation = |text: &str| text.parse::<i64>().ok().filter(|since| *since >= 0);
    let since = query.optional("since", "must be a generation, 0 or more", generation).unwrap_or(0);
    query.finish(())?;
    let address = barrier(caller.owner, name.clone());
    let enough = |seen: &ObjectView| seen.settings.generation > since || seen.settings.flag;
    let seen = state.coordination.observe(&address, patience, enough).await?;
    let seen = seen.and_then(|seen| Some((seen.settings.capacity?, seen)));
    let (parties, seen) = seen.ok_or_else(|| refused(&Reply::NotConfigured))?;
    let (generation, broken) = (seen.settings.generation, seen.settings.flag);
    let view = BarrierView { name: name.to_string(), parties, arrived: seen.held, generation, broken };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}
