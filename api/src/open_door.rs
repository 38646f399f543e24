//! Which requests an installation without keys serves: not those that a foreign web page makes a browser send.
//!
//! Without keys, what protects the service is that others cannot reach it. A browser on this machine can, and it sends what
//! any page tells it to. Two signs give such a request away. Its `Origin` or `Sec-Fetch-Site` names another site; or its
//! `Host` is a name that a stranger's DNS points here ("rebinding"), in which case the browser takes this service for the
//! page's own site and lets the page read the answers. Programs send neither sign and pass.

use std::net::IpAddr;

use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::problem::{Code, Problem};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts and origins that an open installation knows as its own.
#[derive(Clone, Default, Debug)]
pub(crate) struct OpenDoor {
    /// Names beside loopback ones and addresses, in lower case.
    hosts: Vec<String>,
    /// Origins whose pages may ask, in lower case.
    origins: Vec<String>,
}

impl OpenDoor {
    /// A door that also knows these hosts and the pages of these origins.
    pub(crate) fn new<'a>(hosts: impl Iterator<Item = &'a str>, origins: impl Iterator<Item = &'a str>) -> Self {
        let lower = |text: &str| text.trim().trim_end_matches('/').to_ascii_lowercase();
        Self { hosts: hosts.map(lower).collect(), origins: origins.map(lower).collect() }
    }

    /// Lets pass what no foreign page can have sent.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = single(headers, &header::HOST).map_err(|()| foreign_host())?.map(str::to_ascii_lowercase);
        if host.as_deref().is_some_and(|host| !self.knows(host)) {
            return Err(foreign_host());
        }
        let origin = single(headers, &header::ORIGIN).map_err(|()| foreign_origin())?.map(str::to_ascii_lowercase);
        let (site, trusted) = (single(headers, &FETCH_SITE).map_err(|()| foreign_origin())?, &self.origins);
        match origin {
            Some(origin) if trusted.contains(&origin) => Ok(()),
            Some(origin) if !is_same_site(&origin, host.as_deref()) => Err(foreign_origin()),
            _ if site == Some("cross-site") => Err(foreign_origin()),
            _ => Ok(()),
        }
    }

    /// Whether a `Host` is ours. An address cannot be rebound, and browsers never ask DNS for a loopback name.
    fn knows(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let loopback = name == "localhost" || name.ends_with(".localhost");
        loopback || address.parse::<IpAddr>().is_ok() || self.hosts.iter().any(|known| known == name || known == host)
    }
}

/// The host of `name`, `name:port`, `[address]` or `[address]:port`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// The one value of a header, if it is there; an error where there are several, or no text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Whether a page of this origin came from the host that it asks, port included.
fn is_same_site(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some() && authority == host
}

fn foreign_host() -> Problem {
    Problem::new(
        Code::ForeignHost,
        "without API keys this service answers to a loopback name, an IP address, the host of CARAWAY_PUBLIC_URL and, with \
         --insecure-open, the hosts of CARAWAY_ALLOWED_HOSTS",
    )
}

fn foreign_origin() -> Problem {
    Problem::new(
        Code::ForeignOrigin,
        "without API keys this service takes no requests from pages of other sites; make a key, or allow the site's origin",
    )
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn judged(headers: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let door = OpenDoor::new(["Tasks.Example", "api:8080"].into_iter(), ["https://board.example/"].into_iter());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        door.admit(&map).map_err(|problem| problem.code().as_str())
    }

    #[test]
    fn a_host_is_loopback_an_address_or_named() {
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "caraway.localhost",
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:8080",
            "[::1]",
            "tasks.example",
            "tasks.example:443",
            "api:8080",
        ] {
            assert_eq!(judged(&[("host", ours)]), Ok(()), "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "api:8081", "127.0.0.1.evil.example", "", "x:y"] {
            assert_eq!(judged(&[("host", foreign)]), Err("foreign_host"), "{foreign}");
        }
        assert_eq!(judged(&[]), Ok(()), "no browser leaves it out");
        assert_eq!(judged(&[("host", "localhost"), ("host", "localhost")]), Err("foreign_host"));
    }

    #[test]
    fn a_page_must_be_our_own_or_allowed() {
        let from = |origin, site| judged(&[("host", "localhost:8080"), ("origin", origin), ("sec-fetch-site", site)]);
        assert_eq!(from("http://localhost:8080", "same-origin"), Ok(()));
        assert_eq!(from("https://board.example", "cross-site"), Ok(()));
        for foreign in ["https://evil.example", "null", "http://localhost:3000", "ftp://localhost:8080", ""] {
            assert_eq!(from(foreign, "same-site"), Err("foreign_origin"), "{foreign}");
        }
        let told = |site| judged(&[("host", "localhost"), ("sec-fetch-site", site)]);
        assert_eq!((told("none"), told("same-origin"), told("cross-site")), (Ok(()), Ok(()), Err("foreign_origin")));
    }
}
