//! `PUT /v1/semaphores/{name}`: makes it, or gives it another size.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply, limits};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::semaphore;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, NamePath, typed},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// How large it is.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SemaphoreSize {
    /// Permits in all.
    #[schema(minimum = 1, maximum = 10000)]
    permits: i32,
}

/// Make or resize a semaphore
///
/// Where it shrinks nobody is evicted: it grants nothing until enough has come back. Where it grows, those who wait are let in in
/// the same commit.
#[utoipa::path(
    put,
    path = "/v1/semaphores/{name}",
    operation_id = "configure_semaphore",
    tag = "coordination",
    params(NamePath),
    request_body(content = SemaphoreSize, example = json!({"permits": 5})),
    responses((status = 200, description = "It has this size.", body = SemaphoreSize, example = json!({"permits": 5}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, JsonBody::PROBLEMS, [Code::EmptyBody]]))),
)]
pub(crate) async fn configure(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let size = |value: &RawValue| typed(value).filter(|permits| (1..=limits::PERMITS_MAX).contains(permits));
    let permits = fields.required("permits", "must be a whole number from 1 to 10000", size);
    let permits = fields.finish(permits)?;
    match state.coordination.change(&semaphore(caller.owner, name), Op::Resize(permits)).await? {
        Reply::Done(_) => Ok(HttpResponse::Ok().json(SemaphoreSize { permits })),
        other => Err(refused(&other)),
    }
}
