//! A connection that ends when its client takes too long.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    bounds::{ClientBounds, Counted, Crowd},
    exchange::Exchange,
};

/// How often a connection that waits looks whether others need its place.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A socket, bounded by [`ClientBounds`].
#[derive(Debug)]
pub struct BoundedStream<S> {
    socket: S,
    bounds: ClientBounds,
    crowd: Crowd,
    exchange: Rc<Exchange>,
    /// Bytes read since the service was asked.
    unasked: usize,
    /// Wakes us when the client has to have sent something, or a little before.
    reading: Option<Pin<Box<Sleep>>>,
    /// While the client does not take what we write: until when it must, and how much it has taken.
    writing: Option<(Pin<Box<Sleep>>, usize)>,
    _counted: Counted,
}

impl<S> BoundedStream<S> {
    /// Bounds a socket.
    pub fn new(socket: S, bounds: ClientBounds, crowd: &Crowd) -> Self {
        let (exchange, counted) = (Exchange::new(), crowd.enter());
        let (crowd, unasked) = (crowd.clone(), 0);
        Self { socket, bounds, crowd, exchange, unasked, reading: None, writing: None, _counted: counted }
    }

    pub(super) fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    /// Pending as long as the client may let us wait.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let Some(deadline) = self.exchange.deadline(&self.bounds, self.crowd.is_dense()) else {
                return Poll::Pending;
            };
            let now = Instant::now();
            if deadline <= now {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "no complete head came in time"));
            }
            let look = deadline.min(now + LOOK_EVERY);
            let sleep = self.reading.get_or_insert_with(|| Box::pin(sleep_until(look)));
            // one that is early is left alone: most connections are asked again before it fires
            if sleep.deadline() > look || sleep.is_elapsed() {
                sleep.as_mut().reset(look);
            }
            ready!(sleep.as_mut().poll(cx));
        }
    }

    /// The client closed its side, and so is gone: what waits on its behalf ends at once. The switch that actix-http has for this
    /// (`h1_allow_half_closed`) also drops the answer to a request that garbage follows.
    fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exchange.is_serving() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client hung up")));
        }
        if self.unasked == 0 {
            return Poll::Ready(Ok(()));
        }
        // what came before the end may be a request, which the service has to see first
        self.unasked = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts what the client has taken.
    fn took(&mut self, bytes: usize) {
        if let Some((_, taken)) = &mut self.writing {
            *taken = taken.saturating_add(bytes);
            if *taken >= self.bounds.write_progress {
                self.writing = None;
            }
        }
    }

    /// Pending as long as the client may leave what we write.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let stall = self.bounds.write_stall;
        let (sleep, _) = self.writing.get_or_insert_with(|| (Box::pin(tokio::time::sleep(stall)), 0));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchange.is_ahead(&this.bounds, cx.waker()) {
            this.unasked = 0;
            return Poll::Pending;
        }
        if this.unasked >= this.bounds.ahead && !this.exchange.reads_body() {
            // what is here goes to the service first, which may find requests in it
            this.unasked = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if let Poll::Ready(done) = Pin::new(&mut this.socket).poll_read(cx, buffer) {
            let count = buffer.filled().len().saturating_sub(before);
            this.unasked = this.unasked.saturating_add(count);
            if count > 0 {
                this.exchange.read(count);
            } else if done.is_ok() {
                return this.poll_hang_up(cx);
            }
            return Poll::Ready(done);
        }
        this.unasked = 0;
        this.poll_patience(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.socket).poll_write(cx, bytes) {
            Poll::Ready(written) => {
                this.took(written.as_ref().copied().unwrap_or(0));
                Poll::Ready(written)
            }
            Poll::Pending => this.poll_stall(cx).map(Err),
        }
    }

    /// Asked when all that was to be written is.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.writing = None;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
