//! `If-Match` and `If-None-Match` of a change (RFC 9110, section 13), and the tags that they compare: versions of values.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, EntityTag, HeaderMap},
};
use caraway_shared::store::Expected;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder,
        path::{Parameter, ParameterIn},
    },
};

use crate::{
    openapi::parameter,
    problem::{Code, Problem},
};

/// What is there must be this, or nothing is changed.
#[derive(Clone, Copy)]
pub(crate) struct Precondition(pub(crate) Expected);

/// What no row has.
const NEVER: i64 = -1;

impl Precondition {
    /// What may come of one.
    pub(crate) const PROBLEMS: &[Code] = &[Code::BadRequest, Code::InvalidRequest, Code::PreconditionFailed];
}

impl IntoParams for Precondition {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let matching =
            "The `ETag` of the version that is to be changed, or `*` for whatever is there: else the answer is 412.";
        let absent = "`*`: nothing may be there, else the answer is 412.";
        vec![
            parameter::header("If-Match", matching, "\"v42\"", ObjectBuilder::new()),
            parameter::header("If-None-Match", absent, "*", ObjectBuilder::new()),
        ]
    }
}

impl FromRequest for Precondition {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(expected(request.headers()).map(Self))
    }
}

/// The strong tag of a version.
pub(crate) fn version_tag(version: i64) -> EntityTag {
    EntityTag::new_strong(format!("v{version}"))
}

fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    match (one(headers, &header::IF_MATCH)?, one(headers, &header::IF_NONE_MATCH)?) {
        (None, None) => Ok(Expected::Any),
        (Some("*"), None) => Ok(Expected::Something),
        (Some(tag), None) => version(tag).map(Expected::Version),
        (None, Some("*")) => Ok(Expected::Nothing),
        // valid headers, and nothing that a change could do with them
        (None, Some(_)) => Err(Problem::new(Code::InvalidRequest, "If-None-Match of a change must be *")),
        (Some(_), Some(_)) => Err(Problem::new(Code::InvalidRequest, "send If-Match or If-None-Match, not both")),
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name);
    let value = values.next().map(|value| value.to_str().unwrap_or_default().trim());
    match (value, values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Problem::new(Code::BadRequest, format!("{name} must be sent once"))),
    }
}

/// A tag that is none of ours, or a weak one, is that of no version: the comparison is a strong one.
fn version(tag: &str) -> Result<i64, Problem> {
    let unreadable = |_| Problem::new(Code::BadRequest, "If-Match must be * or one ETag in quotes");
    let tag: EntityTag = tag.parse().map_err(unreadable)?;
    let version = tag.tag().strip_prefix('v').filter(|_| !tag.weak).and_then(|digits| digits.parse().ok());
    Ok(version.filter(|version| version_tag(*version) == tag).unwrap_or(NEVER))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn of(sent: &[(&str, &str)]) -> Option<Expected> {
        let mut request = TestRequest::default();
        for header in sent {
            request = request.append_header(*header);
        }
        expected(request.to_http_request().headers()).ok()
    }

    type Case<'a> = (&'a [(&'a str, &'a str)], Option<Expected>);

    #[test]
    fn conditions() {
        let cases: [Case<'_>; 11] = [
            (&[], Some(Expected::Any)),
            (&[("if-match", "*")], Some(Expected::Something)),
            (&[("if-none-match", "*")], Some(Expected::Nothing)),
            (&[("if-match", "\"v42\"")], Some(Expected::Version(42))),
            (&[("if-match", "W/\"v42\"")], Some(Expected::Version(NEVER))),
            (&[("if-match", "\"v042\"")], Some(Expected::Version(NEVER))),
            (&[("if-match", "\"other\"")], Some(Expected::Version(NEVER))),
            (&[("if-match", "v42")], None),
            (&[("if-match", "\"v1\""), ("if-match", "\"v2\"")], None),
            (&[("if-match", "*"), ("if-none-match", "*")], None),
            (&[("if-none-match", "\"v1\"")], None),
        ];
        for (sent, wanted) in cases {
            assert_eq!(of(sent), wanted, "{sent:?}");
        }
    }
}
