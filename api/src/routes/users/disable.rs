//! `POST /v1/users/{id}/disable` and `/enable`: whether a user's keys are taken. Its tasks go on, its items stay.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{store::UserView, task::OwnerId};

use super::user_not_found;
use crate::{
    extract::UserPath,
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Disable a user
///
/// Within 15 seconds none of its keys is taken any more. Its tasks go on, its items stay. Safe to repeat.
#[utoipa::path(
    post,
    path = "/v1/users/{id}/disable",
    operation_id = "disable_user",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "The user.", body = UserView, example = json!(examples::user()))),
    extensions(("x-problems" = json!([UserPath::PROBLEMS, [Code::OperatorStays]]))),
)]
pub(crate) async fn disable(state: Data<ApiState>, UserPath(id): UserPath) -> Result<HttpResponse, Problem> {
    if id == OwnerId::LOCAL {
        return Err(Problem::new(Code::OperatorStays, "user 1 runs the installation and cannot be disabled"));
    }
    set(&state, id, true).await
}

/// Enable a user
///
/// Its keys are taken again. Safe to repeat.
#[utoipa::path(
    post,
    path = "/v1/users/{id}/enable",
    operation_id = "enable_user",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "The user.", body = UserView, example = json!(examples::user()))),
    extensions(("x-problems" = json!(UserPath::PROBLEMS))),
)]
pub(crate) async fn enable(state: Data<ApiState>, UserPath(id): UserPath) -> Result<HttpResponse, Problem> {
    set(&state, id, false).await
}

async fn set(state: &ApiState, id: OwnerId, disabled: bool) -> Result<HttpResponse, Problem> {
    let user = state.store.set_disabled(id, disabled).await?.ok_or_else(user_not_found)?;
    Ok(HttpResponse::Ok().json(user))
}
