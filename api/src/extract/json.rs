//! JSON bodies: the media type, the size, and what every parser must read alike.

use std::{future::Future, pin::Pin, time::Duration};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};
use bytes::Bytes;
use caraway_shared::task::{JsonFault, check_body, limits};

use super::body::{BodyLimit, read_body};
use crate::problem::{Code, Problem};

const LIMIT: BodyLimit = BodyLimit { bytes_max: limits::BODY_BYTES_MAX, deadline: Duration::from_secs(10) };

/// A body that is well-formed JSON without NUL and without a key twice, as the client wrote it; or none at all.
pub(crate) struct JsonBody(Bytes);

impl JsonBody {
    /// What it refuses, and what reading the fields of it may.
    pub(crate) const PROBLEMS: &[Code] = &[
        Code::BadRequest,
        Code::Overloaded,
        Code::MalformedJson,
        Code::BodyTimeout,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::InvalidRequest,
        Code::UnknownField,
        Code::NulCharacter,
        Code::NestedTooDeep,
    ];

    /// The body, where one is needed.
    pub(crate) fn required(&self) -> Result<&[u8], Problem> {
        self.optional().ok_or_else(|| Problem::new(Code::EmptyBody, "send a JSON object as the body"))
    }

    /// The body, where one may be left out.
    pub(crate) fn optional(&self) -> Option<&[u8]> {
        Some(self.0.as_ref()).filter(|body| !body.is_empty())
    }
}

impl FromRequest for JsonBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move { read_json(&request, &mut payload, LIMIT).await.map(Self) })
    }
}

/// A body that is well-formed JSON, or empty.
pub(crate) async fn read_json(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: BodyLimit,
) -> Result<Bytes, Problem> {
    let typed = check_media_type(request)?;
    let body = read_body(request, payload, limit).await?;
    if !body.is_empty() {
        typed.then_some(()).ok_or_else(not_json)?;
        check_body(&body).map_err(|fault| faulty(&fault))?;
    }
    Ok(body)
}

/// Whether a type is declared; it must be `application/json` or `+json`, in UTF-8. A body needs one: what browsers send for any
/// page without asking first is a body of a simple type, or of none.
fn check_media_type(request: &HttpRequest) -> Result<bool, Problem> {
    let mut declared = request.headers().get_all(header::CONTENT_TYPE);
    match (declared.next().map(|declared| declared.to_str().unwrap_or_default()), declared.next()) {
        (None, _) => Ok(false),
        (Some(declared), None) if is_json(declared) => Ok(true),
        _ => Err(not_json()),
    }
}

fn not_json() -> Problem {
    Problem::new(Code::UnsupportedMediaType, "this address takes Content-Type: application/json in UTF-8")
}

fn is_json(media_type: &str) -> bool {
    let Ok(media_type) = media_type.parse::<actix_web::mime::Mime>() else { return false };
    let json = media_type.subtype() == "json" || media_type.suffix().is_some_and(|suffix| suffix == "json");
    let utf8 = media_type.get_param("charset").is_none_or(|charset| charset == "utf-8");
    media_type.type_() == "application" && json && utf8
}

fn faulty(fault: &JsonFault) -> Problem {
    let detail = fault.to_string();
    match fault {
        JsonFault::Malformed(_) => Problem::new(Code::MalformedJson, detail),
        JsonFault::TooDeep(_) => Problem::new(Code::NestedTooDeep, detail),
        JsonFault::Nul => Problem::new(Code::NulCharacter, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/vnd.x+json"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "text/json", "application/jsonx", "application/json; charset=latin1", "json"] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
