//! Addresses that no route has. One with a slash too many at its end leads to the one that is meant; all others name nothing.

use actix_web::{HttpRequest, HttpResponse, http::header};

use crate::problem::{Code, Problem};

/// 308, which keeps method and body, or 404.
pub(crate) async fn elsewhere(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let address = meant(&request).ok_or_else(|| Problem::new(Code::NotFound, "no resource has this address"))?;
    Ok(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, address)).finish())
}

/// The same address without slashes at its end, if a route has that. Only such a one: what begins with two slashes would be
/// another host to a browser.
fn meant(request: &HttpRequest) -> Option<String> {
    let path = request.path().strip_suffix('/')?.trim_end_matches('/');
    let exists = !path.starts_with("//") && request.resource_map().has_resource(path);
    let query = Some(request.query_string()).filter(|query| !query.is_empty());
    exists.then(|| query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}
