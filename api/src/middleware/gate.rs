//! The last thing before the routes: nobody gets in before the database is prepared, and nobody waits for ever.

use std::time::Duration;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web::Data,
};

use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// A read holds no body and asks the database once or twice.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// An upload may wait for a place, take thirty seconds to come in, and then has to be stored.
const WRITE_DEADLINE: Duration = Duration::from_mins(1);

/// Answered whatever the state of the database is.
const ALWAYS_OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Holds back what needs the database while it is not prepared; ends what a frozen database holds up.
pub(crate) async fn gate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let prepared = request.app_data::<Data<ApiState>>().is_some_and(|state| state.health.is_prepared());
    if !prepared && !ALWAYS_OPEN.contains(&request.path()) {
        return Err(unavailable("the database is not prepared yet; try again in a moment").into());
    }
    let deadline = if request.method() == Method::GET { READ_DEADLINE } else { WRITE_DEADLINE };
    match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(unavailable("the database did not answer in time; try again later").into()),
    }
}

fn unavailable(detail: &str) -> Problem {
    Problem::new(Code::DatabaseUnavailable, detail)
}
