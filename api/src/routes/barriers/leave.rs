//! `DELETE /v1/barriers/{name}/arrivals/{arrival_id}`: takes an arrival back. Safe to repeat.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::coordination::{Op, Reply};

use super::{arrive::Outcome, barrier};
use crate::{
    callers::Caller,
    extract::ArrivalPath,
    leases::refused,
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Take an arrival back
///
/// It no longer counts, the others wait on, and a request with this `arrival_id` that is still on its way is refused. Answered 200, the
/// barrier had opened for it before.
#[utoipa::path(
    delete,
    path = "/v1/barriers/{name}/arrivals/{arrival_id}",
    operation_id = "withdraw_arrival",
    tag = "coordination",
    params(ArrivalPath),
    responses(
        (status = 200, description = "It was too late: it has passed.", body = Outcome,
            example = json!({"arrival_id": examples::LEASE_ID, "open": true, "generation": 1, "index": 0})),
        (status = 204, description = "It does not count, and will not."),
    ),
    extensions(("x-problems" = json!([ArrivalPath::PROBLEMS, [Code::NotConfigured, Code::BrokenBarrier]]))),
)]
pub(crate) async fn leave(
    state: Data<ApiState>,
    caller: Caller,
    ArrivalPath(name, id): ArrivalPath,
) -> Result<HttpResponse, Problem> {
    match state.coordination.change(&barrier(caller.owner, name), Op::Leave(id)).await? {
        Reply::Released => Ok(HttpResponse::NoContent().finish()),
        Reply::Passed(generation, index) => {
            let passed = Outcome::passed(id, generation, index);
            Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(passed))
        }
        other => Err(refused(&other)),
    }
}
