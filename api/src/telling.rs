//! Answers whose clients have to hear of them: one that could not be written takes back what its request brought.
//!
//! "Written" is: handed to the connection, to the last byte, while its other end was open as far as this machine knew. Nobody but
//! the client itself could tell more.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
};
use bytes::Bytes;
use caraway_shared::coordination::Untold;

/// An answer's body, and what becomes of it if it is dropped before its end.
struct Telling {
    body: BoxBody,
    untold: Option<Untold>,
}

/// The same answer; once it is written its client is taken to know it.
pub(crate) fn telling(response: HttpResponse, untold: Untold) -> HttpResponse {
    response.map_body(|_, body| BoxBody::new(Telling { body, untold: Some(untold) }))
}

impl MessageBody for Telling {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let piece = ready!(Pin::new(&mut self.body).poll_next(cx));
        if piece.is_none()
            && let Some(untold) = self.untold.take()
        {
            untold.told();
        }
        Poll::Ready(piece)
    }
}
