//! The bytes of an item as they come in: a body of their own, or the one part of a form.
//!
//! Invariants: no more than a chunk is held, and what the parser of forms has of the next one; the client is waited for so
//! long and no longer, whatever the form is like.

use std::time::Duration;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::{
    HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{self, HeaderMap},
    mime::{self, Mime},
};
use bytes::{Bytes, BytesMut};
use caraway_shared::store::CHUNK_BYTES;
use futures::StreamExt;

use crate::{
    extract::{BodyLimit, Patience, broken},
    problem::{Code, Problem},
};

/// How long a client may be waited for, all in all; longer where it announces so many bytes that they need it.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes a second that a client must send of a large item: half a mebibyte.
const BYTES_PER_SECOND_MIN: usize = 512 << 10;
/// What a form may have around its part: boundaries, headers, a preamble.
const FORM_BYTES_MAX: usize = 64 << 10;

/// An item that comes in.
pub(super) struct Incoming {
    source: Source,
    declared: Option<String>,
    limit: BodyLimit,
    patience: Patience,
    /// Bytes of content so far.
    bytes: usize,
    /// What came beyond the last chunk.
    beyond: Bytes,
}

enum Source {
    Body(Payload),
    /// Its part, until that is read.
    Form(Box<(Multipart, Option<Field>)>),
}

impl Incoming {
    /// Refuses what is wrong already, and reads a form up to its part.
    pub(super) async fn open(request: &HttpRequest, payload: Payload, bytes_max: usize) -> Result<Self, Problem> {
        let headers = request.headers();
        let needed = announced(headers).unwrap_or(0).min(bytes_max) / BYTES_PER_SECOND_MIN;
        let needed = Duration::from_secs(u64::try_from(needed).unwrap_or(u64::MAX));
        let limit = BodyLimit { bytes_max, deadline: DEADLINE.max(needed) };
        let mut patience = limit.patience();
        let (source, declared) = if is_form(headers) {
            BodyLimit { bytes_max: bytes_max + FORM_BYTES_MAX, ..limit }.admit(headers)?;
            let mut form = Multipart::new(headers, bounded(payload, bytes_max));
            let part = patience
                .wait(form.next())
                .await?
                .ok_or_else(|| unfit("it has no part"))?
                .map_err(|error| unreadable(error, limit))?;
            let declared = part.content_type().map(ToString::to_string);
            (Source::Form(Box::new((form, Some(part)))), declared)
        } else {
            limit.admit(headers)?;
            let declared = headers.get(header::CONTENT_TYPE);
            (Source::Body(payload), declared.map(|declared| declared.to_str().unwrap_or_default().to_owned()))
        };
        Ok(Self { source, declared, limit, patience, bytes: 0, beyond: Bytes::new() })
    }

    /// The least that the item may have, by what its request says of itself: nothing of a form, which has more than its item.
    pub(super) fn length(request: &HttpRequest) -> usize {
        announced(request.headers()).filter(|_| !is_form(request.headers())).unwrap_or(1)
    }

    /// How much of it has come.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The type that its sender says it is of.
    pub(super) fn declared(&self) -> Option<&str> {
        self.declared.as_deref()
    }

    /// The next [`CHUNK_BYTES`] of it; fewer, and perhaps none, at its end and only there.
    pub(super) async fn chunk(&mut self) -> Result<Bytes, Problem> {
        let mut chunk = BytesMut::from(std::mem::take(&mut self.beyond));
        while chunk.len() < CHUNK_BYTES {
            let Some(piece) = self.piece().await? else { return Ok(chunk.freeze()) };
            self.bytes += piece.len();
            if self.bytes > self.limit.bytes_max {
                return Err(self.limit.too_large());
            }
            chunk.extend_from_slice(&piece);
        }
        self.beyond = Bytes::copy_from_slice(chunk.get(CHUNK_BYTES..).unwrap_or_default());
        chunk.truncate(CHUNK_BYTES);
        Ok(chunk.freeze())
    }

    /// Whatever came next.
    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let limit = self.limit;
        match &mut self.source {
            Source::Body(payload) => self.patience.wait(payload.next()).await?.transpose().map_err(broken),
            Source::Form(form) => {
                let (form, part) = form.as_mut();
                if let Some(reading) = part {
                    if let Some(piece) = self.patience.wait(reading.next()).await? {
                        return piece.map(Some).map_err(|error| unreadable(error, limit));
                    }
                    *part = None; // the form does not go on before its part is gone
                }
                match self.patience.wait(form.next()).await? {
                    None => Ok(None),
                    Some(Ok(_)) => Err(unfit(
                        "it has more than one part; send the file alone, without other fields: there is nowhere to keep them",
                    )),
                    Some(Err(error)) => Err(unreadable(error, limit)),
                }
            }
        }
    }
}

/// The length that a request states.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_form(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|declared| declared.to_str().ok()?.parse::<Mime>().ok());
    declared.is_some_and(|declared| declared.essence_str() == mime::MULTIPART_FORM_DATA.essence_str())
}

/// No form may go on for ever in what is none of its part.
fn bounded(payload: Payload, bytes_max: usize) -> impl futures::Stream<Item = Result<Bytes, PayloadError>> {
    payload.scan(0, move |bytes, piece| {
        *bytes += piece.as_ref().map_or(0, Bytes::len);
        let within = *bytes <= bytes_max + FORM_BYTES_MAX;
        std::future::ready(Some(if within { piece } else { Err(PayloadError::Overflow) }))
    })
}

fn unreadable(error: MultipartError, limit: BodyLimit) -> Problem {
    match error {
        MultipartError::Payload(PayloadError::Overflow) => limit.too_large(),
        MultipartError::Payload(error) => broken(error),
        error => unfit(&error.to_string()),
    }
}

fn unfit(why: &str) -> Problem {
    Problem::new(Code::UnfitForm, format!("the form cannot be taken as an item: {why}"))
}
