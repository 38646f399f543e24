//! Reading a request's body: bounded in bytes and in time, refused before a byte is read where its length says enough.
//!
//! actix limits the time of a request's head and nothing after it, so the deadline here is the only one. What stays
//! unread of a refused body is the concern of `middleware/unread.rs`.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{self, HeaderMap},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::problem::{Code, Problem};

/// Bounds of one kind of body.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit {
    /// Its size.
    pub(crate) bytes_max: usize,
    /// From the end of the head to the end of the body.
    pub(crate) deadline: Duration,
}

/// Reads a whole body; `each` sees every piece as it comes.
pub(crate) async fn read_body(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: BodyLimit,
    each: impl FnMut(&[u8]),
) -> Result<Bytes, Problem> {
    refuse_encoded(request.headers())?;
    let announced = announced_bytes(request.headers()).unwrap_or(0);
    if announced > limit.bytes_max {
        return Err(too_large(limit));
    }
    let reading = collect(payload, limit, announced, each);
    tokio::time::timeout(limit.deadline, reading).await.map_err(|_| {
        Problem::new(
            Code::BodyTimeout,
            format!("a body must be complete {} s after its head", limit.deadline.as_secs()),
        )
    })?
}

async fn collect(
    payload: &mut Payload,
    limit: BodyLimit,
    announced: usize,
    mut each: impl FnMut(&[u8]),
) -> Result<Bytes, Problem> {
    let mut body = BytesMut::with_capacity(announced);
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(broken)?;
        if body.len() + piece.len() > limit.bytes_max {
            return Err(too_large(limit));
        }
        each(&piece);
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A compressed body could unfold to anything; nobody needs one here.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.as_bytes() == b"identity");
    if plain {
        Ok(())
    } else {
        Err(Problem::new(Code::UnsupportedMediaType, "send the body without a Content-Encoding"))
    }
}

fn too_large(limit: BodyLimit) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("this address takes up to {} bytes", limit.bytes_max))
        .with("bytes_max", limit.bytes_max)
}

/// The client stopped in the middle or broke the chunk format; in most cases nobody is left to read this.
fn broken(error: PayloadError) -> Problem {
    Problem::new(Code::BadRequest, "the body ended early or broke its transfer encoding").caused_by(error)
}
