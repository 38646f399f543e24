//! Answers that come before their request was read to its end, 413 above all.
//!
//! The client must see the answer and not a reset, and the connection must end in bounded time. actix-http 3.20 does
//! what is needed for a body that somebody still holds: `Connection: close`, the answer, then it reads and throws away
//! for `client_disconnect_timeout` and closes. A chunked body that was dropped, however, it would read to its end, and
//! there may be none. So the body is held here until the answer is out.
//!
//! A GET has no use for a body. It is thrown away while the GET is answered: left where it is, it would fill the buffers, the
//! server would read no further, and would not see that a client that waits has hung up.

use std::{
    cell::RefCell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::Method,
    middleware::Next,
};
use bytes::Bytes;
use futures::{
    Stream, StreamExt,
    future::{Either, pending, select},
};

type Shared = Rc<RefCell<Payload>>;

/// Holds the request's body until its answer is out.
pub(crate) async fn unread(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Holding<impl MessageBody + 'static>>, Error> {
    let held = match request.take_payload() {
        Payload::None => None,
        payload => {
            let shared: Shared = Rc::new(RefCell::new(payload));
            request.set_payload(Payload::Stream { payload: Box::pin(Tap(Rc::clone(&shared))) });
            Some(shared)
        }
    };
    let reads = request.method() == Method::GET;
    let answered = std::pin::pin!(next.call(request));
    let response = match held.as_ref().filter(|_| reads) {
        Some(body) => match select(answered, std::pin::pin!(discard(Tap(Rc::clone(body))))).await {
            Either::Left((response, _)) => response?,
            Either::Right((never, _)) => match never {},
        },
        None => answered.await?,
    };
    Ok(response.map_body(|_, body| Holding { body: Box::pin(body), _held: held }))
}

/// Reads a body as it comes and forgets it. Never ends: it is dropped with the answer that it runs beside.
async fn discard(mut body: Tap) -> Infallible {
    while let Some(Ok(_)) = body.next().await {}
    pending().await
}

/// The handler's end of the body.
struct Tap(Shared);

impl Stream for Tap {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next_unpin(cx)
    }
}

/// An answer that keeps its request's body alive.
pub(crate) struct Holding<B> {
    body: Pin<Box<B>>,
    _held: Option<Shared>,
}

impl<B: MessageBody> MessageBody for Holding<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_mut().poll_next(cx)
    }
}
