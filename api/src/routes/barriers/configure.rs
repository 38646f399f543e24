//! `PUT /v1/barriers/{name}`: makes it.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::coordination::{Op, Reply, limits};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::barrier;
use crate::{
    callers::Caller,
    extract::{Fields, JsonBody, NamePath, typed},
    leases::refused,
    problem::{Code, Problem},
    state::ApiState,
};

/// How many it takes.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BarrierSize {
    /// How many open it.
    #[schema(minimum = 1, maximum = 1000)]
    parties: i32,
}

/// Make or resize a barrier
///
/// With fewer parties than have arrived the next arrival opens it. One that is broken stays broken. Used once it is a latch; used
/// again and again, a barrier.
#[utoipa::path(
    put,
    path = "/v1/barriers/{name}",
    operation_id = "configure_barrier",
    tag = "coordination",
    params(NamePath),
    request_body(content = BarrierSize, example = json!({"parties": 3})),
    responses((status = 200, description = "It takes as many.", body = BarrierSize, example = json!({"parties": 3}))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, JsonBody::PROBLEMS, [Code::EmptyBody]]))),
)]
pub(crate) async fn configure(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let size = |value: &RawValue| typed(value).filter(|parties| (1..=limits::PARTIES_MAX).contains(parties));
    let parties = fields.required("parties", "must be a whole number from 1 to 1000", size);
    let parties = fields.finish(parties)?;
    match state.coordination.change(&barrier(caller.owner, name), Op::Resize(parties)).await? {
        Reply::Done(_) => Ok(HttpResponse::Ok().json(BarrierSize { parties })),
        other => Err(refused(&other)),
    }
}
