//! `GET /v1/quarantine`: broker messages that meant nothing to us, the newest first.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::QuarantineView;
use utoipa::IntoParams;

use crate::{
    cursor::PagedList,
    extract::Query,
    problem::Problem,
    routes::{Page, paged},
    state::ApiState,
};

const LIST: PagedList<i64> = PagedList::new("quarantine");

/// What a page can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct QuarantineQuery {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Messages of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List what was put aside
///
/// Broker messages that no worker could read, or that name a task which does not exist: neither run nor lost. The newest
/// first; kept for 30 days.
#[utoipa::path(
    get,
    path = "/v1/quarantine",
    operation_id = "list_quarantine",
    tag = "catalogue",
    params(QuarantineQuery),
    responses((
        status = 200, description = "A page.", body = Page<QuarantineView>,
        example = json!({"data": [{
            "id": 17, "queue": "caraway.v1.default.normal", "reason": "undecodable", "body_hex": "00ff",
            "seen_at": "2026-11-22T20:00:00.127Z"
        }], "next_cursor": null}),
    )),
    extensions(("x-problems" = json!(Query::PROBLEMS))),
)]
pub(crate) async fn quarantine(state: Data<ApiState>, mut query: Query) -> Result<HttpResponse, Problem> {
    let cursor = query.cursor(&LIST);
    let limit = query.limit();
    query.finish(())?;
    let found = state.store.show_quarantine(cursor.unwrap_or(i64::MAX), limit + 1).await?;
    Ok(paged(found, limit, |last| LIST.cursor(&last.id)))
}
