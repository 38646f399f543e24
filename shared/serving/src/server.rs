//! Putting a server together: actix-server accepts, each connection is bounded, actix-http speaks over it.

use std::{fmt, io, net::TcpListener, rc::Rc, time::Duration};

use actix_http::{HttpMessage as _, HttpService, Protocol, Request, Response, body::MessageBody};
use actix_server::{Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::{dev::AppConfig, http::header};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{
    bounds::{ClientBounds, Crowd},
    descriptors::connections_max,
    exchange::{Exchange, ServedBody},
    stream::BoundedStream,
};

/// The first head of a connection must be complete by then; a body has deadlines of its own.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long what is left of a refused body is read and thrown away, so that its sender gets to see the answer.
const LINGER: Duration = Duration::from_secs(5);
/// Connections that one thread takes at most, however many files may be open.
const CONNECTIONS_MAX: usize = 25_000;

/// What a server is told.
#[derive(Clone)]
pub struct HttpServerConfig {
    /// Threads that serve.
    pub threads: usize,
    /// How long running requests may take to finish after the stop.
    pub shutdown_seconds: u64,
    /// Stops the server.
    pub closing: CancellationToken,
}

/// A server over this listener, to be spawned. Every bound is stated here, so that no default is a surprise.
pub fn http_server<F, I, S, B>(listener: TcpListener, config: HttpServerConfig, application: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let HttpServerConfig { threads, shutdown_seconds, closing } = config;
    let per_thread = (connections_max() / threads.max(1)).clamp(1, CONNECTIONS_MAX);
    let (crowd, bounds) = (Crowd::new(per_thread.saturating_mul(threads)), ClientBounds::default());
    let stop = closing.clone();
    let connected = move || {
        let (crowd, stop) = (crowd.clone(), stop.clone());
        let application = application().into_factory().map_err(|error| error.into().error_response());
        let application = map_config(application, |()| AppConfig::default());
        let service = HttpService::build()
            .graceful_shutdown_signal(move || stop.clone().cancelled_owned())
            .keep_alive(bounds.idle)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(LINGER)
            .on_connect_ext(|stream: &BoundedStream<TcpStream>, data| {
                data.insert(Rc::clone(stream.exchange()));
            })
            .finish(apply_fn_factory(application, |request: Request, application| {
                let served = request.conn_data::<Rc<Exchange>>().map(|exchange| exchange.serve(has_body(&request)));
                let answered = Service::call(application, request);
                async move {
                    let response: Response<B> = answered.await?.into();
                    Ok(response.map_body(|_, body| ServedBody::new(body, served)))
                }
            }));
        fn_service(move |socket: TcpStream| {
            let stream = bounded(socket, bounds, &crowd);
            async move { Ok(stream) }
        })
        .and_then(service)
    };
    let builder = ServerBuilder::new()
        .workers(threads)
        .max_concurrent_connections(per_thread)
        .shutdown_timeout(shutdown_seconds)
        .shutdown_signal(closing.cancelled_owned());
    Ok(builder.listen("http", listener, connected)?.run())
}

fn bounded(
    socket: TcpStream,
    bounds: ClientBounds,
    crowd: &Crowd,
) -> (BoundedStream<TcpStream>, Protocol, Option<std::net::SocketAddr>) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
    }
    let peer = socket.peer_addr().ok();
    (BoundedStream::new(socket, bounds, crowd), Protocol::Http1, peer)
}

fn has_body(request: &Request) -> bool {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length.as_bytes() != b"0")
}
