//! One request to one target: look its name up, judge the addresses, connect to one of those, ask, and read the head.
//!
//! Invariants: the connection goes to an address that the guard has judged, and serves this one request; nothing here follows
//! a redirect, asks a proxy, or looks a name up a second time. What a server may send before its body is bounded.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, client::conn::http1, header::HOST, http::HeaderMap};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};
use url::Host;

use super::{
    fault::Fault,
    guard::{Reach, Target, allowed},
};

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// For one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
const HEADERS_MAX: usize = 100;
/// Of all headers together.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What a header has beside its name and its value: `: ` and the end of its line.
const HEADER_FRAME_BYTES: usize = 4;
/// hyper tells this kind of error apart for servers only; `shared/testkit/tests/system/fetch.rs` would see another wording.
const HYPER_TOO_LARGE: &str = "head is too large";
const HEAD_TOO_LARGE: Fault = Fault::HeadTooLarge { count: HEADERS_MAX, bytes: HEAD_BYTES_MAX };

/// An answer whose body is still to be read. The connection ends with it.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// Moves the bytes.
    _connection: JoinSet<()>,
}

/// Asks; `headers` are what the client wants to send besides.
pub(super) async fn ask(target: &Target, headers: &HeaderMap, reach: Reach) -> Result<Answered, Fault> {
    let addresses = allowed(&look_up(target).await?, reach)?;
    let stream = connect(&addresses).await?;
    if target.is_encrypted() {
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(invalid)?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        };
        let connector = TlsConnector::from(tls()?);
        let shaken = timeout(CONNECT_TIMEOUT, connector.connect(name, stream)).await;
        let stream = shaken.map_err(|_| unreachable("no TLS handshake in time"))?.map_err(unreachable)?;
        exchange(stream, target, headers).await
    } else {
        exchange(stream, target, headers).await
    }
}

/// All addresses of a name, in the system's order.
async fn look_up(target: &Target) -> Result<Vec<SocketAddr>, Fault> {
    let name = match &target.host {
        Host::Domain(name) => name,
        Host::Ipv4(address) => return Ok(vec![SocketAddr::new((*address).into(), target.port)]),
        Host::Ipv6(address) => return Ok(vec![SocketAddr::new((*address).into(), target.port)]),
    };
    let found = timeout(LOOKUP_TIMEOUT, lookup_host((name.as_str(), target.port))).await;
    let found = found.map_err(|_| Fault::Unresolved(format!("{name}: no answer in time")))?;
    let found: Vec<_> = found.map_err(|error| Fault::Unresolved(format!("{name}: {error}")))?.collect();
    if found.is_empty() { Err(Fault::Unresolved(format!("{name} has no address"))) } else { Ok(found) }
}

/// To the first that takes it.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Fault> {
    let mut last = io::Error::other("no address");
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(unreachable(last))
}

async fn exchange<S>(stream: S, target: &Target, headers: &HeaderMap) -> Result<Answered, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(no_http)?;
    let mut moving = JoinSet::new();
    moving.spawn(async move {
        let _ = connection.await; // the reader of the body hears of it
    });
    let mut request = Request::get(path(target)).body(Empty::<Bytes>::new()).map_err(invalid)?;
    request.headers_mut().extend(headers.clone());
    request.headers_mut().insert(HOST, authority(target).parse().map_err(invalid)?);
    let response = sender.send_request(request).await.map_err(no_http)?;
    check_head(response.headers())?;
    Ok(Answered { response, _connection: moving })
}

/// hyper bounds its buffer, of which a head may fill more than is promised here.
fn check_head(headers: &HeaderMap) -> Result<(), Fault> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_FRAME_BYTES).sum();
    if bytes > HEAD_BYTES_MAX { Err(HEAD_TOO_LARGE) } else { Ok(()) }
}

fn path(target: &Target) -> String {
    let query = target.url.query().map_or(String::new(), |query| format!("?{query}"));
    format!("{}{query}", target.url.path())
}

fn authority(target: &Target) -> String {
    let port = target.url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}{port}", target.host)
}

/// By the machine's own certificates; `SSL_CERT_FILE` names others. Read once.
fn tls() -> Result<Arc<ClientConfig>, Fault> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err("this machine has no root certificates".into());
        }
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    });
    config.clone().map_err(Fault::Unreachable)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn unreachable(error: impl ToString) -> Fault {
    Fault::Unreachable(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn invalid(error: impl ToString) -> Fault {
    Fault::InvalidUrl(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn no_http(error: hyper::Error) -> Fault {
    if error.is_parse() && error.to_string().contains(HYPER_TOO_LARGE) {
        HEAD_TOO_LARGE
    } else if error.is_parse() {
        Fault::NoHttp(error.to_string())
    } else if error.is_incomplete_message() {
        Fault::Incomplete(error.to_string())
    } else {
        Fault::Unreachable(error.to_string())
    }
}
