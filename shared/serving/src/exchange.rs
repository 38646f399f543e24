//! Where the exchange of requests and answers over one connection stands. The service tells it, the stream asks it; both run
//! on the connection's own thread.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::time::Instant;

use super::bounds::ClientBounds;

/// A large answer is handed over in pieces of this size, so that a connection buffers about so much of it and no more.
const PIECE_BYTES: usize = 32 << 10;

/// One connection's exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Requests whose answers are not complete.
    serving: Cell<u32>,
    /// Whether the request that came last has a body.
    has_body: Cell<bool>,
    /// Since when nothing is served.
    idle_since: Cell<Instant>,
    /// When the first byte came that no request was made of yet, while nothing is served.
    began: Cell<Option<Instant>>,
    /// Bytes read since a request without a body began.
    ahead: Cell<usize>,
    /// Whom to wake when reading may go on.
    reader: RefCell<Option<Waker>>,
}

impl Exchange {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            serving: Cell::new(0),
            has_body: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            began: Cell::new(None),
            ahead: Cell::new(0),
            reader: RefCell::new(None),
        })
    }

    /// A request is being served until what this gives is dropped.
    pub(super) fn serve(self: &Rc<Self>, has_body: bool) -> Served {
        self.serving.set(self.serving.get() + 1);
        self.has_body.set(has_body);
        self.began.set(None);
        self.ahead.set(0);
        Served(Rc::clone(self))
    }

    /// Bytes were read.
    pub(super) fn read(&self, count: usize) {
        if self.serving.get() == 0 {
            self.began.set(self.began.get().or_else(|| Some(Instant::now())));
        } else {
            self.ahead.set(self.ahead.get().saturating_add(count));
        }
    }

    /// Whether somebody waits for an answer of ours.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.get() > 0
    }

    /// Whether a body is being read, of which no more is buffered than its handler takes.
    pub(super) fn reads_body(&self) -> bool {
        self.is_serving() && self.has_body.get()
    }

    /// Whether more was pipelined than may be; reading goes on, and `waker` is woken, after the answer.
    pub(super) fn is_ahead(&self, bounds: &ClientBounds, waker: &Waker) -> bool {
        let ahead = self.is_serving() && !self.has_body.get() && self.ahead.get() >= bounds.ahead;
        if ahead {
            self.reader.replace(Some(waker.clone()));
        }
        ahead
    }

    /// Until when the client must have sent the next head; none while we are the ones who are waited for.
    pub(super) fn deadline(&self, bounds: &ClientBounds, dense: bool) -> Option<Instant> {
        if self.is_serving() {
            return None;
        }
        let idle = self.idle_since.get() + if dense { bounds.crowded_idle } else { bounds.idle };
        let head = self.began.get().map(|began| began + bounds.head);
        Some(head.map_or(idle, |head| head.min(idle)))
    }

    fn ended(&self) {
        self.serving.set(self.serving.get().saturating_sub(1));
        if self.serving.get() == 0 {
            let now = Instant::now();
            self.idle_since.set(now);
            // what came behind a request without a body is the beginning of the next head
            self.began.set((self.ahead.get() > 0 && !self.has_body.get()).then_some(now));
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Served(Rc<Exchange>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// An answer's body, handed over in pieces; its request counts as being served until the connection has taken the last one.
pub(super) struct ServedBody<B> {
    body: Pin<Box<B>>,
    rest: Bytes,
    _served: Option<Served>,
}

impl<B> ServedBody<B> {
    pub(super) fn new(body: B, served: Option<Served>) -> Self {
        Self { body: Box::pin(body), rest: Bytes::new(), _served: served }
    }
}

impl<B: MessageBody> MessageBody for ServedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}
