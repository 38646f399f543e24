//! Nobody gets in before the database is prepared: until then there may be no tables.

use actix_web::{
    Error,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};

use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// Answered whatever the state of the database is: health, metrics, and what explains the answers.
pub(crate) fn is_always_open(path: &str) -> bool {
    const OPEN: [&str; 8] =
        ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/style.css", "/problems"];
    OPEN.contains(&path) || path.starts_with("/problems/")
}

/// Holds back what needs the database while it is not prepared.
pub(crate) async fn gate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let prepared = request.app_data::<Data<ApiState>>().is_some_and(|state| state.health.is_prepared());
    if prepared || is_always_open(request.path()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let problem = Problem::new(Code::DatabaseUnavailable, "the database is not prepared yet; try again in a moment");
    Ok(request.error_response(problem).map_into_right_body())
}
