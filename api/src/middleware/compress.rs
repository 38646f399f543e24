//! Large answers go out compressed where the client takes that (`Accept-Encoding`): gzip, which everybody has.
//!
//! Left as they are: what fits into a packet, streams and contents (a client that asks for ranges counts the bytes of the
//! content itself), and what is compressed already. A compressed answer has a tag of its own, because a strong tag stands for bytes.

use std::io::{self, Write as _};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{self, AcceptEncoding, Encoding, EntityTag, Header as _, HeaderMap, HeaderValue},
    },
    web,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::conditional::gzipped_tag;

/// Smaller answers fit into one packet, compressed or not.
const BYTES_MIN: u64 = 1400;
/// Larger ones are compressed on a thread of their own: this many take about a millisecond, in which nobody else is served.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Compressed, if it is worth it.
pub(super) async fn compressed<B: MessageBody + 'static>(
    mut response: ServiceResponse<EitherBody<B, BoxBody>>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    if !depends_on_encoding(&response) {
        return Ok(response);
    }
    vary(response.headers_mut());
    let is_large = matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes >= BYTES_MIN);
    let is_plain = !response.headers().contains_key(header::CONTENT_ENCODING);
    if !is_large || !is_plain || !takes_gzip(response.request()) {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    let plain = match body.try_into_bytes() {
        Ok(plain) => plain,
        Err(body) => return Ok(ServiceResponse::new(request, head.set_body(body))),
    };
    let body = match packed(plain.clone()).await {
        Some(packed) => {
            tell(head.headers_mut());
            packed
        }
        None => plain,
    };
    Ok(ServiceResponse::new(request, head.set_body(EitherBody::right(BoxBody::new(body)))))
}

/// Whether this request's client takes gzip, and prefers it to what is plain.
pub(crate) fn takes_gzip(request: &actix_web::HttpRequest) -> bool {
    let accepted =
        AcceptEncoding::parse(request).ok().filter(|_| request.headers().contains_key(header::ACCEPT_ENCODING));
    let choice = accepted.and_then(|accepted| accepted.negotiate([Encoding::identity(), Encoding::gzip()].iter()));
    choice == Some(Encoding::gzip())
}

/// All at once.
pub(crate) fn gzip(plain: &[u8], level: Compression) -> io::Result<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), level);
    packer.write_all(plain)?;
    packer.finish().map(Bytes::from)
}

/// Whether another client may be answered with other bytes, or with another tag.
fn depends_on_encoding<B: MessageBody>(response: &ServiceResponse<B>) -> bool {
    let headers = response.headers();
    let is_text = headers.get(header::CONTENT_TYPE).is_some_and(|kind| is_text(kind.as_bytes()));
    let is_content = headers.contains_key(header::ACCEPT_RANGES) || headers.contains_key(header::CONTENT_RANGE);
    match response.status() {
        StatusCode::NOT_MODIFIED => !is_content,
        _ => {
            is_text
                && !is_content
                && matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes >= BYTES_MIN)
        }
    }
}

fn is_text(kind: &[u8]) -> bool {
    kind.starts_with(b"text/") || kind.starts_with(b"application/json") || kind.starts_with(b"application/problem+json")
}

/// None where it is not worth it after all.
async fn packed(plain: Bytes) -> Option<Bytes> {
    let length = plain.len();
    let packed = if length <= INLINE_BYTES_MAX {
        gzip(&plain, Compression::fast())
    } else {
        web::block(move || gzip(&plain, Compression::fast())).await.ok()?
    };
    packed.ok().filter(|packed| packed.len() < length)
}

/// In one header with what it varies by already, because others that add to it look at the first one only.
fn vary(headers: &mut HeaderMap) {
    let already = headers
        .get(header::VARY)
        .and_then(|vary| HeaderValue::try_from([vary.to_str().ok()?, "Accept-Encoding"].join(", ")).ok());
    headers.insert(header::VARY, already.unwrap_or(HeaderValue::from_static("Accept-Encoding")));
}

fn tell(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()?.parse::<EntityTag>().ok());
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(gzipped_tag(&tag).to_string()).ok()) {
        headers.insert(header::ETAG, tag);
    }
}
