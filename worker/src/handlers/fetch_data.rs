//! `fetch_data(url, headers, max_bytes)`: an HTTP GET by a worker; the answer's status, headers and body are the result.
//!
//! A server that is busy or broken (408, 429, 5xx) is asked again as the task's back-off says, or when it says itself; every
//! other status is a result. Redirects are followed here, one by one, and each is judged like the first URL (`guard.rs`).
//!
//! Invariants: no byte goes to an address that is not public, whatever the URL, the name's addresses and redirects say; what
//! a server sends is bounded in bytes and in time, so it can hold a slot no longer than [`WHOLE_TIMEOUT`].

mod body;
mod connect;
mod fault;
mod guard;
mod tell;

use std::{collections::BTreeMap, time::Duration};

use caraway_worker::{Context, Failure};
use hyper::{
    Response,
    header::{ACCEPT, ACCEPT_ENCODING, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE, USER_AGENT},
    http::HeaderMap,
};
use jiff::{Timestamp, fmt::rfc2822};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use self::{
    connect::{Answered, ask},
    fault::Fault,
    guard::{Reach, Target},
};

/// From the first look-up to the last byte, redirects included.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS_MAX: usize = 5;
const BYTES_DEFAULT: usize = 512 << 10;
/// A result holds 1 MiB, and base64 makes four bytes of three.
const BYTES_MAX: usize = 700 << 10;
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 8 << 10;
/// The longest wait that a server is granted.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// What belongs to the connection, or is ours to say.
const NOT_YOURS: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
];

#[derive(Deserialize)]
pub(crate) struct Args {
    url: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    max_bytes: Option<usize>,
}

/// What the server answered.
#[derive(Serialize)]
pub(crate) struct Fetched {
    status: u16,
    headers: BTreeMap<String, ToldHeader>,
    content_type: Option<String>,
    body: Box<RawValue>,
    /// Whether `body` is base64; left out where it is JSON or text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    base64: bool,
}

/// A header's value, or its values.
#[derive(PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
enum ToldHeader {
    /// One that came several times is joined by commas, which means the same (RFC 9110, section 5.3).
    One(String),
    /// `Set-Cookie`, which must not be joined: always a list, also where there is one.
    Each(Vec<String>),
}

/// Public addresses only.
pub(crate) async fn run(args: Args, _: Context) -> Result<Fetched, Failure> {
    fetch(args, Reach::Public).await
}

/// Loopback too, for development and tests.
pub(crate) async fn run_with_loopback(args: Args, _: Context) -> Result<Fetched, Failure> {
    fetch(args, Reach::Loopback).await
}

async fn fetch(args: Args, reach: Reach) -> Result<Fetched, Failure> {
    let bytes_max = args.max_bytes.unwrap_or(BYTES_DEFAULT);
    if !(1..=BYTES_MAX).contains(&bytes_max) {
        let message = format!("max_bytes must be a whole number from 1 to {BYTES_MAX}");
        return Err(Failure::fatal("invalid_arguments", message));
    }
    let headers = read_headers(args.headers.unwrap_or_default()).map_err(Fault::into_failure)?;
    let target = Target::read(&args.url, reach).map_err(Fault::into_failure)?;
    let whole = async {
        let mut answered = follow(target, headers, reach).await?;
        let bytes = body::read(&mut answered.response, bytes_max).await?;
        Ok::<_, Fault>((answered.response, bytes))
    };
    let whole = timeout(WHOLE_TIMEOUT, whole).await.unwrap_or(Err(Fault::TimedOut));
    let (response, bytes) = whole.map_err(Fault::into_failure)?;
    let content_type = tell::content_type(response.headers());
    let told = tell::tell(content_type.as_deref(), &bytes)?;
    Ok(Fetched {
        status: response.status().as_u16(),
        headers: told_headers(response.headers()),
        content_type,
        body: told.json,
        base64: told.is_base64,
    })
}

/// To the first answer that is no redirect. What the client sends goes to the origin that it named, and to no other.
async fn follow(mut target: Target, mut headers: HeaderMap, reach: Reach) -> Result<Answered, Fault> {
    for _ in 0..=REDIRECTS_MAX {
        let answered = ask(&target, &headers, reach).await?;
        if let Some(fault) = passing(&answered.response) {
            return Err(fault);
        }
        let Some(location) = redirect(&answered.response) else { return Ok(answered) };
        let next = target.follow(&location, reach).map_err(|fault| match fault {
            Fault::InvalidUrl(why) => Fault::BadRedirect(why),
            other => other,
        })?;
        if !next.has_origin_of(&target) {
            headers = read_headers(BTreeMap::new())?;
        }
        target = next;
    }
    Err(Fault::TooManyRedirects(REDIRECTS_MAX))
}

/// A status that another attempt may find changed.
fn passing<B>(response: &Response<B>) -> Option<Fault> {
    let status = response.status();
    let passes = matches!(status.as_u16(), 408 | 429) || status.is_server_error();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|asked| wait(asked, Timestamp::now()));
    passes.then_some(Fault::Status { status: status.as_u16(), retry_after })
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn wait(asked: &str, now: Timestamp) -> Option<Duration> {
    let wait = if let Ok(seconds) = asked.trim().parse() {
        Duration::from_secs(seconds)
    } else {
        let then = rfc2822::parse(asked.trim()).ok()?.timestamp();
        Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn redirect<B>(response: &Response<B>) -> Option<String> {
    let leads_on = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| leads_on)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// The client's headers beside ours; its own `User-Agent` and `Accept` win.
fn read_headers(told: BTreeMap<String, String>) -> Result<HeaderMap, Fault> {
    let bytes: usize = told.iter().map(|(name, value)| name.len() + value.len()).sum();
    if told.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(Fault::InvalidHeaders(format!(
            "more than {HEADERS_MAX}, or than {HEADER_BYTES_MAX} bytes of them"
        )));
    }
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("caraway/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    for (name, value) in told {
        let lower = name.to_ascii_lowercase();
        let read = HeaderName::try_from(&lower).ok().zip(HeaderValue::try_from(&value).ok());
        let Some((header, value)) = read.filter(|_| !NOT_YOURS.contains(&lower.as_str())) else {
            return Err(Fault::InvalidHeaders(name));
        };
        headers.insert(header, value);
    }
    Ok(headers)
}

fn told_headers(headers: &HeaderMap) -> BTreeMap<String, ToldHeader> {
    let values = |name: &HeaderName| -> Vec<String> {
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let told = |name: &HeaderName| match values(name) {
        each if *name == SET_COOKIE => ToldHeader::Each(each),
        each => ToldHeader::One(each.join(", ")),
    };
    headers.keys().map(|name| (name.as_str().to_owned(), told(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-26T20:00:00Z".parse().unwrap();
        assert_eq!(wait("7", now), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 26 Nov 2026 20:01:00 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(wait("Thu, 26 Nov 2026 19:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait("999999", now), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("soon", now), None);
    }

    #[test]
    fn headers_of_the_connection_are_refused() {
        let read = |name: &str, value: &str| read_headers(BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert_eq!(read("X-Token", "a").unwrap().get("x-token").unwrap(), "a");
        assert_eq!(read("accept", "text/csv").unwrap().get(ACCEPT).unwrap(), "text/csv");
        for (name, value) in [("Host", "x"), ("Transfer-Encoding", "chunked"), ("a b", "x"), ("x", "a\r\nb: c")] {
            assert!(read(name, value).is_err(), "{name}");
        }
        assert!(read("x", &"y".repeat(HEADER_BYTES_MAX)).is_err());
    }

    #[test]
    fn cookies_are_a_list_and_all_else_is_joined() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("set-cookie", "a=1; Expires=Wed, 21 Oct"), ("set-cookie", "b=2"), ("vary", "a"), ("vary", "b")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let told = serde_json::to_value(told_headers(&headers)).unwrap();
        let wanted = serde_json::json!({"set-cookie": ["a=1; Expires=Wed, 21 Oct", "b=2"], "vary": "a, b"});
        assert_eq!(told, wanted);
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let of =
            |status: u16| passing(&Response::builder().status(status).header("retry-after", "3").body(()).unwrap());
        let wait = Some(Duration::from_secs(3));
        for status in [408, 429, 500, 502, 503, 599] {
            assert_eq!(of(status), Some(Fault::Status { status, retry_after: wait }));
        }
        assert!([200, 204, 301, 400, 404, 410].into_iter().all(|status| of(status).is_none()));
    }
}
