//! `GET /metrics`: this process's metrics, for Prometheus.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web::Data,
};
use caraway_shared::{access::Scope, task::OwnerId, telemetry::names};

use crate::{
    open_door::OpenDoor,
    problem::{Code, Problem},
    state::ApiState,
};

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Headers by which a proxy tells that the request came from elsewhere.
const FORWARDED: [HeaderName; 2] = [header::FORWARDED, header::X_FORWARDED_FOR];

/// Read the metrics
///
/// This process's, in the text format that Prometheus reads. They are about all users. So they are for this machine, unless its
/// `Host` is a stranger's name; for keys of user 1 with the scope `read`; and for everybody with `--metrics-open`. Those who ask
/// at the same time share one text, which is at most a second old.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
    extensions(("x-problems" = json!([Code::Unauthorized, Code::MissingScope, Code::ForeignHost, Code::ForeignOrigin]))),
)]
pub(crate) async fn metrics(request: HttpRequest, state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    if !state.metrics_open {
        check(&request, &state).await?;
    }
    metrics::gauge!(names::WAITS).set(state.waiting.open());
    metrics::gauge!(names::LEASE_WAITS).set(state.coordination.waits());
    Ok(HttpResponse::Ok().content_type(TEXT_FORMAT).body(state.metrics.render()))
}

async fn check(request: &HttpRequest, state: &ApiState) -> Result<(), Problem> {
    let headers = request.headers();
    let is_near = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    if is_near && !FORWARDED.iter().any(|name| headers.contains_key(name)) {
        return OpenDoor::default().admit(headers);
    }
    let caller = state.callers.caller(headers).await?;
    if caller.owner == OwnerId::LOCAL && caller.has(Scope::Read) {
        return Ok(());
    }
    let detail = "the metrics are about all users; this needs a key of user 1 with the scope read";
    Err(Problem::new(Code::MissingScope, detail).with("scope", Scope::Read.as_str()))
}
