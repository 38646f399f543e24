//! `POST /v1/barriers/{name}/abort` and `/reset`: breaks it, and mends it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Name, Op, Reply};
use serde::Serialize;
use utoipa::ToSchema;

use super::barrier;
use crate::{
    callers::Caller,
    extract::NamePath,
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// Whether a barrier is broken.
#[derive(Serialize, ToSchema)]
#[schema(as = BarrierCondition)]
struct Standing {
    broken: bool,
}

/// Break a barrier
///
/// Who stands at it is told `broken_barrier` at once, and who arrives before a reset. Safe to repeat.
#[utoipa::path(
    post,
    path = "/v1/barriers/{name}/abort",
    operation_id = "abort_barrier",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "It is broken.", body = Standing, example = json!({"broken": true}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn abort(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    change(&state, &caller, name, Op::Abort).await
}

/// Reset a barrier
///
/// It is empty and not broken. Who stood at it is told `broken_barrier`; `generation` counts on. Safe to repeat, but for those who have
/// arrived since.
#[utoipa::path(
    post,
    path = "/v1/barriers/{name}/reset",
    operation_id = "reset_barrier",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "It is empty.", body = Standing, example = json!({"broken": false}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, [Code::NotConfigured]]))),
)]
pub(crate) async fn reset(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    change(&state, &caller, name, Op::Reset).await
}

async fn change(state: &ApiState, caller: &Caller, name: Name, op: Op) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&barrier(caller.owner, name), op).await? {
        Reply::Done(settings) => Ok(HttpResponse::Ok().json(Standing { broken: settings.flag })),
        other => Err(refused(&other)),
    }
}
