//! Nobody waits for ever: a database that is frozen, and not gone, would hold every request that asks it.
//!
//! Around each route and not around all of them, because the answer needs the request, and nobody but the router may
//! hold on to that before it is routed (actix-web panics). In one layer with the guard, which belongs to each route too.

use std::time::Duration;

use actix_web::{
    Error,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
};

use super::guard::{Needs, guard};
use crate::{
    extract::{KnownParameters, wait_asked},
    problem::{Code, Problem},
};

/// A read holds no body and asks the database once or twice.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// An upload may wait for a place, take thirty seconds to come in, and then has to be stored.
const WRITE_DEADLINE: Duration = Duration::from_mins(1);

/// Lets through who may pass, and ends what takes too long, beyond the wait that the client asked for. What is under way in a
/// writer task goes on.
pub(crate) async fn guarded_in_time<B: MessageBody>(
    needs: Needs,
    known: KnownParameters,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let reads = request.method() == Method::GET || needs == Needs::Read;
    let limit = if reads { READ_DEADLINE } else { WRITE_DEADLINE };
    let limit = limit + wait_asked(request.request());
    let asked = request.request().clone();
    match tokio::time::timeout(limit, guard(needs, known, request, next)).await {
        Ok(answer) => answer,
        Err(_) => Ok(ServiceResponse::from_err(too_slow(reads), asked).map_into_right_body()),
    }
}

/// A write that is under way may still be done.
fn too_slow(reads: bool) -> Problem {
    if reads {
        Problem::new(Code::DatabaseUnavailable, "the database did not answer in time; try again later")
    } else {
        Problem::outcome_unknown()
    }
}
