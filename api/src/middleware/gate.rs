//! Nobody gets in before the database is prepared: until then there may be no tables.

use actix_web::{dev::ServiceRequest, web::Data};

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

/// Why this request has to wait, if it needs the database and that is not prepared.
pub(super) fn closed(request: &ServiceRequest) -> Option<Problem> {
    let prepared = request.app_data::<Data<ApiState>>().is_some_and(|state| state.health.is_prepared());
    if prepared || is_always_open(request.path()) {
        return None;
    }
    Some(Problem::new(Code::DatabaseUnavailable, "the database is not prepared yet; try again in a moment"))
}
