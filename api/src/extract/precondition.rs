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
    conditional::plain_tag,
    openapi::parameter,
    problem::{Code, Problem},
};

/// Tags that one condition may list: more than a client has reason to hold of one value.
const TAGS_MAX: usize = 100;

/// What is there must be this, or nothing is changed.
#[derive(Clone)]
pub(crate) struct Precondition(pub(crate) Expected);

impl Precondition {
    /// What may come of one.
    pub(crate) const PROBLEMS: &[Code] = &[Code::BadRequest, Code::InvalidRequest, Code::PreconditionFailed];
}

impl IntoParams for Precondition {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let matching = "The `ETag` of the version that is to be changed, or several, or `*` for whatever is there: else the answer is 412.";
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
    match (list(headers, &header::IF_MATCH)?.as_deref(), list(headers, &header::IF_NONE_MATCH)?.as_deref()) {
        (None, None) => Ok(Expected::Any),
        (Some("*"), None) => Ok(Expected::Something),
        (Some(tags), None) => versions(tags).map(Expected::OneOf),
        (None, Some("*")) => Ok(Expected::Nothing),
        // valid headers, and nothing that a change could do with them
        (None, Some(_)) => Err(Problem::new(Code::InvalidRequest, "If-None-Match of a change must be *")),
        (Some(_), Some(_)) => Err(Problem::new(Code::InvalidRequest, "send If-Match or If-None-Match, not both")),
    }
}

/// A header that is a list: sent several times, it is one list (RFC 9110, section 5.3).
fn list(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<String>, Problem> {
    let values: Option<Vec<&str>> = headers.get_all(name).map(|value| value.to_str().ok().map(str::trim)).collect();
    let values = values.ok_or_else(|| Problem::new(Code::BadRequest, format!("{name} must be ASCII")))?;
    Ok(Some(values.join(",")).filter(|_| !values.is_empty()))
}

/// The versions of these tags. A tag that is none of ours, or a weak one, is that of no version: the comparison is a strong
/// one.
fn versions(tags: &str) -> Result<Vec<i64>, Problem> {
    let unreadable = || Problem::new(Code::BadRequest, "If-Match must be * or ETags in quotes, with commas between");
    let tags: Vec<EntityTag> =
        tags.split(',').map(|tag| tag.trim().parse()).collect::<Result<_, _>>().map_err(|_| unreadable())?;
    if tags.len() > TAGS_MAX {
        return Err(Problem::new(Code::BadRequest, format!("If-Match may list {TAGS_MAX} ETags")));
    }
    Ok(tags.iter().filter_map(version).collect())
}

/// Of the value as JSON, or of the same compressed.
fn version(tag: &EntityTag) -> Option<i64> {
    let text = plain_tag(tag.tag());
    let version = text.strip_prefix('v').filter(|_| !tag.weak)?.parse().ok()?;
    (version_tag(version).tag() == text).then_some(version)
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
        let versions = |versions: &[i64]| Some(Expected::OneOf(versions.to_vec()));
        let many = vec!["\"v1\""; TAGS_MAX + 1].join(",");
        let cases: [Case<'_>; 15] = [
            (&[], Some(Expected::Any)),
            (&[("if-match", "*")], Some(Expected::Something)),
            (&[("if-none-match", "*")], Some(Expected::Nothing)),
            (&[("if-match", "\"v42\"")], versions(&[42])),
            (&[("if-match", "\"v42-gzip\"")], versions(&[42])),
            (&[("if-match", "W/\"v42\"")], versions(&[])),
            (&[("if-match", "\"v042\"")], versions(&[])),
            (&[("if-match", "\"other\"")], versions(&[])),
            (&[("if-match", "v42")], None),
            (&[("if-match", "\"v1\", \"other\",\"v2\"")], versions(&[1, 2])),
            (&[("if-match", "\"v1\""), ("if-match", "\"v2\"")], versions(&[1, 2])),
            (&[("if-match", "\"v1\", *")], None),
            (&[("if-match", &many)], None),
            (&[("if-match", "*"), ("if-none-match", "*")], None),
            (&[("if-none-match", "\"v1\"")], None),
        ];
        for (sent, wanted) in cases {
            assert_eq!(of(sent), wanted, "{sent:?}");
        }
    }
}
