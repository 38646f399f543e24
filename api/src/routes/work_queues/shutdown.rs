//! `POST` and `DELETE /v1/work-queues/{name}/shutdown`: whether it takes more.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    coordination::{Name, Op, Reply},
    task::OwnerId,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::queue;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, NamePath, typed},
    leases::refused,
    problem::Problem,
    state::ApiState,
};

/// Whether a queue takes more.
#[derive(Serialize, ToSchema)]
struct ShutDown {
    shut_down: bool,
    /// It gives nothing either, and drops what nobody has.
    immediate: bool,
}

/// How it is shut down.
#[derive(ToSchema)]
#[schema(as = NewShutDown)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct Wanted {
    /// Remove what nobody has, and give nothing more.
    #[schema(default = false)]
    immediate: Option<bool>,
}

/// Shut a work queue down
///
/// Nothing more is put in: producers, those that wait too, are told `queue_shut_down`. What is in it is fetched as before; when nothing
/// is unfinished, consumers are told too; those with `until_finished: false` as soon as nothing is ready. Safe to repeat.
///
/// With `immediate` consumers are told at once, and items that nobody has are removed as if they were done, those that come back
/// later too: as Python's `shutdown(immediate=True)`. A large queue is emptied in the background; a `join` goes on when it is.
#[utoipa::path(
    post,
    path = "/v1/work-queues/{name}/shutdown",
    operation_id = "shut_work_queue_down",
    tag = "coordination",
    params(NamePath),
    request_body(content = Option<Wanted>, example = json!({"immediate": true})),
    responses((status = 200, description = "It takes no more.", body = ShutDown,
        example = json!({"shut_down": true, "immediate": true}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, JsonBody::PROBLEMS]))),
)]
pub(crate) async fn shut_down(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.optional().unwrap_or(b"{}"))?;
    let immediate = fields.optional("immediate", "must be true or false", typed).unwrap_or(false);
    let op = fields.finish(Some(if immediate { Op::Halt } else { Op::Flag(true) }))?;
    set(&state, caller.owner, name, op).await
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
    responses((status = 200, description = "It takes more.", body = ShutDown,
        example = json!({"shut_down": false, "immediate": false}))),
    extensions(("x-problems" = json!(NamePath::PROBLEMS))),
)]
pub(crate) async fn open(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<HttpResponse, Problem> {
    set(&state, caller.owner, name, Op::Flag(false)).await
}

async fn set(state: &ApiState, owner: OwnerId, name: Name, op: Op) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&queue(owner, name), op).await? {
        Reply::Done(now) => Ok(HttpResponse::Ok().json(ShutDown { shut_down: now.flag, immediate: now.halted })),
        other => Err(refused(&other)),
    }
}
