//! `GET /metrics`: this process's metrics, for Prometheus.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::telemetry::names;

use crate::state::ApiState;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Read the metrics
///
/// This process's, in the text format that Prometheus reads.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(state: Data<ApiState>) -> HttpResponse {
    metrics::gauge!(names::WAITS).set(state.waiting.open());
    metrics::gauge!(names::LEASE_WAITS).set(state.coordination.waits());
    HttpResponse::Ok().content_type(TEXT_FORMAT).body(state.metrics.render())
}
