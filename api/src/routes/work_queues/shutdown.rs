//! `POST` and `DELETE /v1/work-queues/{name}/shutdown`: whether it takes more.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    coordination::{Name, Op, Reply},
    task::OwnerId,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::queue;
use crate::{callers::Caller, extract::NamePath, leases::refused, problem::Problem, state::ApiState};

/// Whether a queue takes more.
#[derive(Serialize, ToSchema)]
struct ShutDown {
    shut_down: bool,
}

/// Shut a work queue down
///
/// Nothing more is put in: producers, those that wait too, are told `queue_shut_down`. What is in it is fetched as before; when nothing
/// is unfinished, consumers are told too. Safe to repeat.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/shutdown",
    operation_id = "shut_work_queue_down",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "It takes no more.", body = ShutDown, example = json!({"shut_down": true}))),
    extensions(("x-problems" = json!(NamePath::PROBLEMS))),
)]
pub(crate) async fn shut_down(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    set(&state, caller.owner, name, true).await
}

/// Open a work queue again
///
/// Items can be put in again. Safe to repeat.
#[utoipa::path(
    delete,
    path = "/v1/work-queues/{name}/shutdown",
    operation_id = "open_work_queue",
    tag = "coordination",
    params(NamePath),
    responses((status = 200, description = "It takes more.", body = ShutDown, example = json!({"shut_down": false}))),
    extensions(("x-problems" = json!(NamePath::PROBLEMS))),
)]
pub(crate) async fn open(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    set(&state, caller.owner, name, false).await
}

async fn set(state: &ApiState, owner: OwnerId, name: Name, shut_down: bool) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&queue(owner, name), Op::Flag(shut_down)).await? {
        Reply::Done(_) => Ok(HttpResponse::Ok().json(ShutDown { shut_down })),
        other => Err(refused(&other)),
    }
}
