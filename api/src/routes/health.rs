//! `GET /livez`: the process runs. `GET /readyz`: it can accept tasks, which needs PostgreSQL and nothing else.
//! RabbitMQ or Redis away is `degraded`, and still ready: tasks are accepted and told of all the same.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::store::DatabaseState;
use serde::Serialize;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterIn},
    },
};

use crate::{
    openapi::parameter,
    problem::{Code, Problem},
    state::ApiState,
};

#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `alive`, `ready`, or `degraded`: tasks are accepted, and something behind is away.
    status: &'static str,
    /// `up` or `down` for every server behind, with `?verbose`; of PostgreSQL also `read_only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    checks: Option<BTreeMap<&'static str, &'static str>>,
}

/// `verbose` in the query.
pub(crate) struct Verbose;

impl IntoParams for Verbose {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "Lists the servers behind, whatever its value is.";
        vec![parameter::query("verbose", description, ObjectBuilder::new().schema_type(Type::String))]
    }
}

/// Is it alive?
///
/// The process runs and answers.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "get_liveness",
    tag = "operations",
    responses((status = 200, description = "It is.", body = Readiness, example = json!({"status": "alive"}))),
)]
pub(crate) async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(Readiness { status: "alive", checks: None })
}

/// Is it ready?
///
/// Whether tasks can be accepted, which needs PostgreSQL and nothing else.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    tag = "operations",
    params(Verbose),
    responses((
        status = 200, description = "It is.", body = Readiness,
        example = json!({"status": "ready", "checks": {"postgres": "up", "rabbitmq": "up", "redis": "up"}}),
    )),
    extensions(("x-problems" = json!([Code::NotReady]))),
)]
pub(crate) async fn readyz(request: HttpRequest, state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    let (postgres, redis) = tokio::join!(state.store.database_state(), state.cache.ping());
    let rabbitmq = state.link.is_up();
    let database = match postgres {
        DatabaseState::Writable => "up",
        DatabaseState::ReadOnly => "read_only",
        DatabaseState::Away => "down",
    };
    let checks = BTreeMap::from([("postgres", database), ("rabbitmq", word(rabbitmq)), ("redis", word(redis))]);
    let checks = Some(checks).filter(|_| is_verbose(request.query_string()));
    let obstacle = if state.health.is_stopping() {
        "the process is stopping"
    } else if postgres == DatabaseState::Away {
        "postgres does not answer"
    } else if postgres == DatabaseState::ReadOnly {
        "postgres answers and takes no writes: it is a standby, or set to be read-only"
    } else if !state.health.is_prepared() {
        "the database is not prepared yet"
    } else {
        let status = if rabbitmq && redis { "ready" } else { "degraded" };
        return Ok(HttpResponse::Ok().json(Readiness { status, checks }));
    };
    let problem = Problem::new(Code::NotReady, obstacle);
    Err(match checks {
        Some(checks) => problem.with("checks", serde_json::to_value(checks).unwrap_or_default()),
        None => problem,
    })
}

const fn word(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

fn is_verbose(query: &str) -> bool {
    query.split('&').any(|part| part.split('=').next() == Some("verbose"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbose_in_every_spelling() {
        assert!(is_verbose("verbose") && is_verbose("a=b&verbose=1"));
        assert!(!is_verbose("") && !is_verbose("verbosely"));
    }
}
