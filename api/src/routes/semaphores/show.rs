//! `GET /v1/semaphores/{name}`: its size, who holds permits, and how many wait.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::{coordination::Reply, store::coordination::Holder};
use serde::Serialize;
use utoipa::ToSchema;

use super::semaphore;
use crate::{
    callers::Caller,
    extract::{NamePath, Whose},
    leases::refused,
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// A semaphore.
#[derive(Serialize, ToSchema)]
#[schema(as = Semaphore)]
struct Shown {
    name: String,
    /// Permits in all.
    permits: i32,
    /// Permits that nobody holds.
    available: i64,
    /// Who holds some, the first 100 that were granted.
    holders: Vec<Holder>,
    /// How many stand in the line.
    waiting: i64,
}

/// Show a semaphore
///
/// By the time you read this it may have changed.
#[utoipa::path(
    get,
    path = "/v1/semaphores/{name}",
    operation_id = "get_semaphore",
    tag = "coordination",
    params(NamePath, Whose),
    responses((status = 200, description = "The semaphore.", body = Shown, example = json!(examples::semaphore()))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, Whose::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn show(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    whose: Whose,
) -> Result<HttpResponse, Problem> {
    let seen = state.coordination.look(&semaphore(whose.owner(&caller)?, name.clone())).await?;
    let seen = seen.and_then(|seen| Some((seen.settings.capacity?, seen)));
    let (permits, seen) = seen.ok_or_else(|| refused(&Reply::NotConfigured))?;
    let available = (i64::from(permits) - seen.permits).max(0);
    let shown = Shown { name: name.to_string(), permits, available, holders: seen.holders, waiting: seen.waiting };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(shown))
}
