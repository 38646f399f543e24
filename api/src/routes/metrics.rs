//! `GET /metrics`: this process's metrics, for Prometheus.

use actix_web::{HttpResponse, web::Data};

use crate::state::ApiState;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text format that Prometheus reads.
pub(crate) async fn metrics(state: Data<ApiState>) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT_FORMAT).body(state.metrics.render())
}
