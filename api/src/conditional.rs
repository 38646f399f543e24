//! Entity tags: an answer that the client has already is not sent again (RFC 9110, section 13).

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::header::{self, ContentType, EntityTag, Header as _, IfNoneMatch},
};
use sha2::{Digest, Sha256};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder,
        path::{Parameter, ParameterIn},
    },
};

use crate::openapi::parameter;

/// May be kept, and must be asked for again before it is used: that is what the tag is for.
const REVALIDATE: &str = "private, no-cache";

/// The condition, for the OpenAPI document.
pub(crate) struct Condition;

impl IntoParams for Condition {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description = "The `ETag` of an earlier answer, or several: if nothing has changed, the answer is 304 without a \
                           body.";
        vec![parameter::header(
            "If-None-Match",
            description,
            "\"3f79bb7b435b05321651daefd374cdc6\"",
            ObjectBuilder::new(),
        )]
    }
}

/// A strong tag of this content.
pub(crate) fn tag_of(content: &[u8]) -> EntityTag {
    EntityTag::new_strong(hex::encode(Sha256::digest(content)))
}

/// What tells the compressed bytes of a content from the plain ones.
const GZIPPED: &str = "-gzip";

/// The tag of the same content, compressed.
pub(crate) fn gzipped_tag(tag: &EntityTag) -> EntityTag {
    let text = format!("{}{GZIPPED}", tag.tag());
    if tag.weak { EntityTag::new_weak(text) } else { EntityTag::new_strong(text) }
}

/// The tag of the same content, plain: a client may know it by either.
pub(crate) fn plain_tag(tag: &str) -> &str {
    tag.strip_suffix(GZIPPED).unwrap_or(tag)
}

/// Begins the answer that carries this tag: 304 where the client has it, else 200 with `fresh` set.
pub(crate) struct Conditional {
    /// The answer so far.
    pub(crate) response: HttpResponseBuilder,
    /// Whether a body has to follow.
    pub(crate) fresh: bool,
}

impl Conditional {
    /// Compares the tag with what the client has.
    pub(crate) fn new(request: &HttpRequest, tag: EntityTag) -> Self {
        let held = held(request, &tag);
        let (fresh, tag) = (held.is_none(), held.unwrap_or(tag));
        let mut response = if fresh { HttpResponse::Ok() } else { HttpResponse::NotModified() };
        response.insert_header(header::ETag(tag)).insert_header((header::CACHE_CONTROL, REVALIDATE));
        Self { response, fresh }
    }
}

/// Answers with a JSON document, tagged by its content.
pub(crate) fn json(request: &HttpRequest, document: impl Into<bytes::Bytes>) -> HttpResponse {
    let document = document.into();
    let Conditional { mut response, fresh } = Conditional::new(request, tag_of(&document));
    if fresh { response.content_type(ContentType::json()).body(document) } else { response.finish() }
}

/// The tag under which the client has this content, if it has it: the plain bytes or the compressed ones.
fn held(request: &HttpRequest, tag: &EntityTag) -> Option<EntityTag> {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return None;
    }
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => Some(tag.clone()),
        Ok(IfNoneMatch::Items(tags)) => {
            let forms = [tag.clone(), gzipped_tag(tag)];
            forms.into_iter().find(|form| tags.iter().any(|theirs| theirs.weak_eq(form)))
        }
        Err(_) => None, // a condition that cannot be read is not met: the full answer is always right
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{http::StatusCode, test::TestRequest};

    use super::*;

    fn status(if_none_match: &str) -> StatusCode {
        let request = TestRequest::default().insert_header((header::IF_NONE_MATCH, if_none_match)).to_http_request();
        json(&request, "{}").status()
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let tag = tag_of(b"{}").to_string();
        assert_eq!(status(&tag), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&format!("\"other\", W/{tag}")), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&gzipped_tag(&tag_of(b"{}")).to_string()), StatusCode::NOT_MODIFIED);
        assert_eq!(status("*"), StatusCode::NOT_MODIFIED);
        assert_eq!(status("\"other\""), StatusCode::OK);
        assert_eq!(status("nonsense"), StatusCode::OK);
    }
}
