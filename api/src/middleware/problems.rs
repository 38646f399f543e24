//! Every error leaves as a problem document: our own, and whatever a library answers with.
//!
//! Two kinds of answer are written by actix-http before a request exists for us, and keep their empty bodies: 400 for a
//! head that is no HTTP, 408 and 431 for one that is too slow or too large.

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::BoxBody,
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
};

use super::RequestId;
use crate::{
    problem::{Code, Problem},
    quotas,
};

/// An error as a problem document; what only the log may know is written to the log.
pub(super) fn documented<B>(response: ServiceResponse<B>) -> ServiceResponse<BoxBody> {
    let id = response.request().extensions().get::<RequestId>().cloned();
    let id = id.as_ref().map_or("", RequestId::as_str);
    let error = response.response().error();
    let document = match error.and_then(|error| error.as_error::<Problem>()) {
        Some(problem) => {
            log(problem, response.status(), id);
            problem.document(Some(id))
        }
        None => foreign(&response, error, id).document(Some(id)),
    };
    rewritten(response, document)
}

/// An error that no handler of ours made: routing, or a library.
fn foreign<B>(response: &ServiceResponse<B>, error: Option<&Error>, id: &str) -> Problem {
    let status = response.status();
    let code = Code::of_status(status);
    if status.is_server_error() {
        tracing::error!(request.id = id, error = error.map(ToString::to_string), "a request failed in a library");
    }
    let detail = match code {
        Code::NotFound => "no resource has this address".into(),
        Code::MethodNotAllowed => {
            format!("this address takes {}", allowed(response.headers()).unwrap_or_else(|| "other methods".into()))
        }
        _ => code.title().to_lowercase(),
    };
    Problem::new(code, detail)
}

fn log(problem: &Problem, status: StatusCode, id: &str) {
    let cause = problem.cause().unwrap_or_default();
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request.id = id, %problem, cause, "a request failed");
    } else {
        tracing::debug!(request.id = id, %problem, cause, "a request was refused");
    }
}

/// The same head with the document as its body.
fn rewritten<B>(response: ServiceResponse<B>, document: Vec<u8>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let allowed = allowed(response.headers());
    let (request, old) = response.into_parts();
    let mut new = HttpResponse::build(status);
    if let Some(allowed) = allowed {
        new.insert_header((header::ALLOW, allowed));
    }
    let limits = [quotas::POLICY, quotas::LEFT];
    for kept in [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::CONTENT_RANGE].into_iter().chain(limits) {
        if let Some(value) = old.headers().get(&kept) {
            new.insert_header((kept, value.clone()));
        }
    }
    new.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE)));
    new.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    ServiceResponse::new(request, new.body(document))
}

/// What the router allows, and HEAD, which it does not know about: wherever GET is taken it is too.
fn allowed(headers: &HeaderMap) -> Option<String> {
    let allow = headers.get(header::ALLOW)?.to_str().ok()?;
    Some(if allow.split(", ").any(|method| method == "GET") { format!("{allow}, HEAD") } else { allow.into() })
}
