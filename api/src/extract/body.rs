//! Reading a request's body: bounded in bytes and in time, refused before a byte is read where its length says enough.
//!
//! actix limits the time of a request's head and nothing after it, so the time that is spent waiting for a body is counted
//! here and nowhere else. What stays unread of a refused body is the concern of `middleware/unread.rs`.

use std::{future::Future, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{self, HeaderMap},
    web::Data,
};
use bytes::{Bytes, BytesMut};
use caraway_shared::task::OwnerId;
use futures::StreamExt;
use tokio::time::{Instant, timeout};

use crate::{
    callers::Caller,
    problem::{Code, Problem},
    shares::{NoRoom, Share, Shares},
    state::ApiState,
};

/// Bounds of one kind of body.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit {
    /// Its size.
    pub(crate) bytes_max: usize,
    /// How long its client may be waited for, all in all.
    pub(crate) deadline: Duration,
}

/// What is left of the time that a client has for its body. Time that we need ourselves in between does not count.
pub(crate) struct Patience {
    limit: BodyLimit,
    left: Duration,
}

impl BodyLimit {
    /// Refuses what the head tells to be too large, or compressed; else the length that it announces, or 0.
    pub(crate) fn admit(self, headers: &HeaderMap) -> Result<usize, Problem> {
        refuse_encoded(headers)?;
        let announced = announced_bytes(headers).unwrap_or(0);
        if announced > self.bytes_max { Err(self.too_large()) } else { Ok(announced) }
    }

    /// Time begins.
    pub(crate) fn patience(self) -> Patience {
        Patience { limit: self, left: self.deadline }
    }

    /// The body has more bytes than it may have.
    pub(crate) fn too_large(self) -> Problem {
        Problem::new(Code::BodyTooLarge, format!("this address takes up to {} bytes", self.bytes_max))
            .with("bytes_max", self.bytes_max)
    }
}

impl Patience {
    /// Waits for something that the client has to send.
    pub(crate) async fn wait<T>(&mut self, sent: impl Future<Output = T>) -> Result<T, Problem> {
        let began = Instant::now();
        let waited = timeout(self.left, sent).await;
        self.left = self.left.saturating_sub(began.elapsed());
        waited.map_err(|_| {
            let seconds = self.limit.deadline.as_secs();
            Problem::new(Code::BodyTimeout, format!("a body may be waited for {seconds} s, and is not complete"))
        })
    }
}

/// Reads a whole body, as long as there is room for it among the bodies of all, and of this caller.
pub(super) async fn read_body(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: BodyLimit,
) -> Result<Bytes, Problem> {
    let announced = limit.admit(request.headers())?;
    let owner = request.extensions().get::<Caller>().map(|caller| caller.owner);
    let shares = request.app_data::<Data<ApiState>>().map(|state| state.shares.bodies.clone());
    let room = owner.zip(shares).map(|(owner, shares)| Room { shares, owner });
    limit.patience().wait(collect(payload, limit, announced, room)).await?
}

/// Where a body counts.
struct Room {
    shares: Shares,
    owner: OwnerId,
}

/// A body, and the room that it takes until the last piece of it is dropped.
struct HeldBody {
    bytes: BytesMut,
    _room: Option<Share>,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Room is taken for what has come, not for what was announced: announcing costs a client nothing.
async fn collect(
    payload: &mut Payload,
    limit: BodyLimit,
    announced: usize,
    room: Option<Room>,
) -> Result<Bytes, Problem> {
    let (mut bytes, mut taken) = (BytesMut::with_capacity(announced), None::<Share>);
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(broken)?;
        if bytes.len() + piece.len() > limit.bytes_max {
            return Err(limit.too_large());
        }
        if let Some(Room { shares, owner }) = &room {
            let more = shares.try_take(*owner, piece.len()).map_err(|NoRoom| no_room())?;
            match &mut taken {
                Some(taken) => taken.merge(more),
                None => taken = Some(more),
            }
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Bytes::from_owner(HeldBody { bytes, _room: taken }))
}

fn no_room() -> Problem {
    Problem::new(Code::Overloaded, "too many bytes of bodies are in memory; try again in a moment")
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A compressed body could unfold to anything; nobody needs one here.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let is_plain = |coding: &str| coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity");
    let mut listed = headers.get_all(header::CONTENT_ENCODING);
    let plain = listed.all(|listed| listed.to_str().is_ok_and(|listed| listed.split(',').all(is_plain)));
    if plain {
        Ok(())
    } else {
        Err(Problem::new(Code::UnsupportedMediaType, "send the body without a Content-Encoding"))
    }
}

/// The client stopped in the middle or broke the chunk format; in most cases nobody is left to read this.
pub(crate) fn broken(error: PayloadError) -> Problem {
    Problem::new(Code::BadRequest, "the body ended early or broke its transfer encoding").caused_by(error)
}
