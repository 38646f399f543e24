//! The outermost layer: what every request gets, whatever becomes of it. HEAD becomes GET here, once for all routes.
//!
//! Invariants: labels of the metric come from closed sets (our own route patterns, statuses, known methods), so that no
//! client can grow them; log lines never hold a body, a header's value or a query.

use std::time::Instant;

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use caraway_shared::telemetry::names;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What browsers are told with every answer: take no content for another type, load none of it into a page of another site, and
/// tell nobody where a link led from.
const ALWAYS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (header::REFERRER_POLICY, "no-referrer"),
];
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Names one request in its answer and in the log: the client's own name for it, or ours.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

impl RequestId {
    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn of(request: &ServiceRequest) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|given| is_sane(given.as_bytes())).cloned();
        Self(given.unwrap_or_else(Self::fresh))
    }

    fn fresh() -> HeaderValue {
        HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }
}

/// Safe to repeat in a header and in a log line.
fn is_sane(given: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&given.len()) && given.iter().all(plain)
}

/// Request id, time, headers.
pub(crate) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    if method == Method::HEAD {
        // routed as a GET; the encoder knows that no body may follow
        request.head_mut().method = Method::GET;
        request.headers_mut().remove(header::RANGE); // which is for GET alone
    }
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.0.clone());
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    record(&response, &method, &id, began);
    Ok(response)
}

fn record<B>(response: &ServiceResponse<B>, method: &Method, id: &RequestId, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    let (route, method) = labels(response.request().match_pattern(), method, status);
    metrics::histogram!(names::HTTP_SECONDS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .record(seconds);
    if status >= 500 {
        tracing::info!(
            request.id = id.as_str(),
            http.method = method,
            http.route = route,
            http.status = status,
            http.seconds = seconds,
            "answered"
        );
    } else {
        tracing::debug!(
            request.id = id.as_str(),
            http.method = method,
            http.route = route,
            http.status = status,
            http.seconds = seconds,
            "answered"
        );
    }
}

/// What no route takes counts in one place: every pair of a route and a method that it does not have would be a series of its own.
fn labels(route: Option<String>, method: &Method, status: u16) -> (String, &'static str) {
    match route {
        Some(route) if status != 405 => (route, known(method)),
        _ => ("unmatched".into(), "other"),
    }
}

/// Methods are free text; labels must not be.
fn known(method: &Method) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_kept_and_others_replaced() {
        assert!(is_sane(b"018f4b2e-7b1c-7000-8000-000000000001") && is_sane(b"a") && is_sane(&[b'x'; 128]));
        assert!(!is_sane(b"") && !is_sane(b"a b") && !is_sane(b"a\x1b[31m") && !is_sane(&[b'x'; 129]));
    }

    #[test]
    fn what_no_route_takes_is_one_series() {
        assert_eq!(labels(Some("/items".into()), &Method::GET, 200), ("/items".into(), "GET"));
        assert_eq!(labels(Some("/items".into()), &Method::PUT, 405), ("unmatched".into(), "other"));
        assert_eq!(labels(None, &Method::GET, 404), ("unmatched".into(), "other"));
    }

    #[test]
    fn methods_come_from_a_closed_set() {
        assert_eq!(known(&Method::POST), "POST");
        assert_eq!(known(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
