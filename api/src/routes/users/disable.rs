//! `POST /v1/users/{id}/disable` and `/enable`: whether a user's keys are taken. Its tasks go on, unless the operator says
//! otherwise; its items stay.

use std::time::Duration;

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    store::{StoreError, UserView, tasks::CancelledUpTo},
    task::OwnerId,
};
use tokio::time::Instant;
use utoipa::IntoParams;

use super::user_not_found;
use crate::{
    extract::{Query, UserPath},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// How long one request cancels; less than every request may take.
const CANCELLING_MAX: Duration = Duration::from_secs(40);

/// What becomes of its tasks.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read parameter by parameter; this is its shape for the document")]
pub(crate) struct DisableQuery {
    /// Cancel what the user has not finished.
    #[param(example = true)]
    cancel_tasks: Option<bool>,
}

/// Disable a user
///
/// Within 15 seconds none of its keys is taken any more. Its tasks go on, and its items stay. With `cancel_tasks=true` what it has
/// not finished is cancelled: at once before the start, and what runs is asked to stop. Safe to repeat, which is needed where
/// there is more than a minute's work and the answer is 503.
#[utoipa::path(
    post,
    path = "/v1/users/{id}/disable",
    operation_id = "disable_user",
    tag = "users",
    params(UserPath, DisableQuery),
    responses((status = 200, description = "The user.", body = UserView, example = json!(examples::user()))),
    extensions(("x-problems" = json!([UserPath::PROBLEMS, Query::PROBLEMS, [Code::OperatorStays, Code::Overloaded]]))),
)]
pub(crate) async fn disable(
    state: Data<ApiState>,
    UserPath(id): UserPath,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let cancels = query.optional("cancel_tasks", "must be true or false", |text| text.parse::<bool>().ok());
    query.finish(())?;
    if id == OwnerId::LOCAL {
        return Err(Problem::new(Code::OperatorStays, "user 1 runs the installation and cannot be disabled"));
    }
    let answer = set(&state, id, true).await?;
    if cancels.unwrap_or_default() {
        cancel_all(&state, id).await?;
    }
    Ok(answer)
}

/// The user is disabled, so nothing is added meanwhile but what its running tasks submit.
async fn cancel_all(state: &ApiState, id: OwnerId) -> Result<(), Problem> {
    let began = Instant::now();
    let mut up_to = CancelledUpTo::default();
    while began.elapsed() < CANCELLING_MAX {
        match state.store.cancel_some_of(id, up_to).await {
            Ok(Some(next)) => up_to = next,
            Ok(None) => return Ok(()),
            Err(StoreError::Contended) => (), // what others hold is tried again
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::new(Code::Overloaded, "not all tasks are cancelled yet; repeat the request"))
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
