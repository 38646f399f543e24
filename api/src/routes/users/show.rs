//! `GET /users/{user_id}`, and the same under `/v1`: one account.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::store::UserView;

use super::user_not_found;
use crate::{callers::Caller, extract::UserPath, openapi::examples, problem::Problem, state::ApiState};

/// Show a user
///
/// One's own; the operator sees all.
#[utoipa::path(
    get,
    path = "/v1/users/{id}",
    operation_id = "get_user",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "The user.", body = UserView, example = json!(examples::user()))),
    extensions(("x-problems" = json!(UserPath::PROBLEMS))),
)]
pub(crate) async fn show(
    state: Data<ApiState>,
    caller: Caller,
    UserPath(id): UserPath,
) -> Result<HttpResponse, Problem> {
    if id != caller.owner && !caller.is_operator() {
        return Err(user_not_found());
    }
    let user = state.store.user(id).await?.ok_or_else(user_not_found)?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(user))
}
