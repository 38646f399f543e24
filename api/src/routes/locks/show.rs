//! `GET /v1/locks/{name}`: who holds it, and how many wait.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::store::coordination::Holder;
use serde::Serialize;
use utoipa::ToSchema;

use super::lock;
use crate::{
    callers::Caller,
    extract::{NamePath, Whose},
    openapi::examples,
    problem::Problem,
    state::ApiState,
};

/// A lock.
#[derive(Serialize, ToSchema)]
#[schema(as = Lock)]
struct Shown {
    name: String,
    /// Who holds it: several where one owner holds it several times.
    holders: Vec<Holder>,
    /// How many stand in the line.
    waiting: i64,
}

/// Show a lock
///
/// A lock that nobody has used is free. By the time you read this it may have changed.
#[utoipa::path(
    get,
    path = "/v1/locks/{name}",
    operation_id = "get_lock",
    tag = "coordination",
    params(NamePath, Whose),
    responses((status = 200, description = "The lock.", body = Shown, example = json!(examples::lock()))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, Whose::PROBLEMS]))),
)]
pub(crate) async fn show(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    whose: Whose,
) -> Result<HttpResponse, Problem> {
    let seen = state.coordination.look(&lock(whose.owner(&caller)?, name.clone())).await?;
    let (holders, waiting) = seen.map_or_else(Default::default, |seen| (seen.holders, seen.waiting));
    let shown = Shown { name: name.to_string(), holders, waiting };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(shown))
}
