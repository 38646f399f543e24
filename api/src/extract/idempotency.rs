//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that is repeated with its key is answered
//! as the first time. Our own rules, because the draft has expired: a key belongs to its owner, is kept for at least 24
//! hours, and stands for one body at one address.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use caraway_shared::{store::tasks::Key, task::Unique};
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

const HEADER: &str = "idempotency-key";
const BYTES_MAX: usize = 255;

/// The key, if the request has one.
pub(crate) struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    /// What may come of one.
    pub(crate) const PROBLEMS: &[Code] =
        &[Code::InvalidIdempotencyKey, Code::IdempotencyInFlight, Code::IdempotencyKeyReused];

    /// The key together with what it stands for.
    pub(crate) fn of(self, request: &HttpRequest, body: &[u8]) -> Option<Key> {
        let parts = [request.method().as_str().as_bytes(), request.path().as_bytes(), body];
        self.0.map(|key| Key { key, fingerprint: Unique::hash(parts) })
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let key = ObjectBuilder::new().pattern(Some(r#"^("[!#-~]{1,255}"|[!#-~]{1,255})$"#));
        let description = "A string of your choice, new for every new request: repeated with it, a request is answered as \
                           the first time and done once. Kept for at least 24 hours.";
        vec![parameter::header("Idempotency-Key", description, "order-42", key)]
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut values = request.headers().get_all(HEADER);
        let key = match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => read(value.as_bytes()).map(|key| Self(Some(key))).ok_or_else(invalid),
            (Some(_), Some(_)) => Err(invalid()),
        };
        ready(key)
    }
}

/// A structured field's string, quoted; taken without quotes as well.
fn read(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value).ok()?.trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let good =
        !key.is_empty() && key.len() <= BYTES_MAX && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    good.then(|| key.to_owned())
}

fn invalid() -> Problem {
    Problem::new(Code::InvalidIdempotencyKey, "Idempotency-Key takes one string of 1 to 255 visible characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_quotes_and_without() {
        assert_eq!(read(b"\"abc-1\"").as_deref(), Some("abc-1"));
        assert_eq!(read(b"abc-1").as_deref(), Some("abc-1"));
        for bad in [b"".as_slice(), b"\"\"", b"a b", b"a\"b", b"\xff", &[b'a'; 256]] {
            assert_eq!(read(bad), None);
        }
    }
}
