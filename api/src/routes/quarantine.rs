//! `GET /v1/quarantine`: broker messages that meant nothing to us, the newest first.

use actix_web::{HttpResponse, web::Data};

use crate::{extract::Query, problem::Problem, routes::paged, state::ApiState};

/// `{"data": […], "next_cursor": …}`.
pub(crate) async fn quarantine(state: Data<ApiState>, mut query: Query) -> Result<HttpResponse, Problem> {
    let cursor = query.optional("cursor", "must be the next_cursor of an earlier answer", |id| id.parse::<i64>().ok());
    let limit = query.limit();
    query.finish(())?;
    let found = state.store.show_quarantine(cursor.unwrap_or(i64::MAX), limit + 1).await?;
    Ok(paged(found, limit, |last| last.id.to_string()))
}
