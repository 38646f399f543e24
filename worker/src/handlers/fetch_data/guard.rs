//! Where a worker may go: to public addresses over HTTP, so that nobody makes it fetch what only it can reach (SSRF).
//!
//! Invariants: what is judged is an address, and the connection goes to exactly that address, so no second look-up can bring
//! another (rebinding); a name is judged by what it resolves to, all spellings of an address by what they mean, because the
//! URL parser knows them (`0x7f000001`, `2130706433`, `127.1`); what is not known to be public is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::fault::Fault;

/// What is allowed beside public addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// Nothing.
    Public,
    /// Loopback, for development and tests.
    Loopback,
}

/// A URL that may be asked for, as far as it can be told before its name is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Target {
    /// Reads a URL.
    pub(super) fn read(text: &str, reach: Reach) -> Result<Self, Fault> {
        let url = Url::parse(text).map_err(|error| Fault::InvalidUrl(error.to_string()))?;
        Self::of(url, reach)
    }

    /// Where a redirect leads.
    pub(super) fn follow(&self, location: &str, reach: Reach) -> Result<Self, Fault> {
        let url = self.url.join(location).map_err(|error| Fault::InvalidUrl(format!("redirect: {error}")))?;
        Self::of(url, reach)
    }

    /// Whether both are of one origin: then what a client sends to the one is meant for the other too.
    pub(super) fn has_origin_of(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    fn of(mut url: Url, reach: Reach) -> Result<Self, Fault> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Fault::Blocked(format!("{}: only http and https are fetched", url.scheme())));
        }
        url.set_fragment(None);
        let host = url.host().map(|host| host.to_owned()).ok_or_else(|| Fault::InvalidUrl("it has no host".into()))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(ref name) => is_loopback_name(name).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        if let Some(address) = address {
            allowed(&[SocketAddr::new(address, port)], reach)?;
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::InvalidUrl("credentials belong into a header".into()));
        }
        Ok(Self { url, host, port })
    }
}

/// By definition (RFC 6761), whatever a resolver says of it.
fn is_loopback_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Those that may be reached; none of them is the guard's refusal.
pub(super) fn allowed(found: &[SocketAddr], reach: Reach) -> Result<Vec<SocketAddr>, Fault> {
    let canonical = found.iter().map(|found| SocketAddr::new(found.ip().to_canonical(), found.port()));
    let good: Vec<_> = canonical.filter(|found| may_reach(found.ip(), reach)).collect();
    match found.first() {
        Some(first) if good.is_empty() => Err(Fault::Blocked(format!("{} is no public address", first.ip()))),
        _ => Ok(good),
    }
}

fn may_reach(address: IpAddr, reach: Reach) -> bool {
    if reach == Reach::Loopback && address.is_loopback() {
        return true;
    }
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By the IANA registry of special-purpose addresses: what is not globally reachable, or leads back to where one is.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let inside = match address.octets() {
        [0 | 10 | 127, ..]
        | [169, 254, ..]
        | [192, 168, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => true,
        [100, second, ..] => (64..=127).contains(&second),
        [172, second, ..] => (16..=31).contains(&second),
        [first, ..] => first >= 224,
    };
    !inside
}

/// Global unicast (`2000::/3`) without what wraps an IPv4 address (Teredo, 6to4) or is for documents and protocols. NAT64
/// (`64:ff9b::`), unique local, link-local and multicast addresses lie outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let special = (first == 0x2001 && (second < 0x0200 || second == 0x0db8)) // protocols, Teredo, documents
        || first == 0x2002 // 6to4
        || (first == 0x3fff && second < 0x1000); // documents
    global && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Target, Fault> {
        Target::read(url, Reach::Public)
    }

    #[test]
    fn every_spelling_of_an_inner_address_is_blocked() {
        let inner = [
            "127.0.0.1",
            "localhost",
            "localhost.",
            "a.localhost",
            "0",
            "0.0.0.0",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "127.1",
            "0x7f.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::7f00:1]",
            "[::127.0.0.1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "169.254.169.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "ok@127.0.0.1",
            "ok:secret@127.0.0.1",
            "127.0.0.1:80@127.0.0.1",
            "１２７.0.0.1",
        ];
        for host in inner {
            let read = read(&format!("http://{host}/"));
            assert!(matches!(read, Err(Fault::Blocked(_))), "{host}: {read:?}");
        }
        for url in ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://example.com/", "javascript:alert(1)", "data:,x"]
        {
            assert!(matches!(read(url), Err(Fault::Blocked(_))), "{url}");
        }
    }

    #[test]
    fn public_addresses_and_names_are_not() {
        let public =
            ["1.1.1.1", "93.184.215.14", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[2001:4860::8888]"];
        for host in public.iter().chain(&["example.com", "localhost.example."]) {
            assert!(read(&format!("https://{host}/x#y")).is_ok(), "{host}: a name is judged by what it resolves to");
        }
        assert!(matches!(read("http://a:b@example.com/"), Err(Fault::InvalidUrl(_))));
        assert!(matches!(read("no url"), Err(Fault::InvalidUrl(_))));
    }

    #[test]
    fn of_several_addresses_only_public_ones_are_used() {
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (inner, public) = (socket("127.0.0.1:80"), socket("1.1.1.1:80"));
        assert_eq!(allowed(&[inner, public, socket("[::1]:80")], Reach::Public).unwrap(), [public]);
        assert!(matches!(allowed(&[inner, inner], Reach::Public), Err(Fault::Blocked(_))));
        assert_eq!(allowed(&[inner], Reach::Loopback).unwrap(), [inner]);
        assert_eq!(allowed(&[socket("[::ffff:1.1.1.1]:80")], Reach::Public).unwrap(), [public]);
    }

    #[test]
    fn the_setting_allows_loopback_and_nothing_else() {
        let read = |url: &str| Target::read(url, Reach::Loopback);
        assert!(read("http://127.0.0.1/").is_ok() && read("http://[::1]/").is_ok());
        for url in ["http://0.0.0.0/", "http://10.0.0.1/", "http://169.254.169.254/", "http://[fd00::1]/"] {
            assert!(matches!(read(url), Err(Fault::Blocked(_))), "{url}");
        }
        let from = read("http://127.0.0.1:81/a/b").unwrap();
        assert_eq!(from.follow("../c", Reach::Loopback).unwrap().url.as_str(), "http://127.0.0.1:81/c");
        assert!(matches!(from.follow("//10.0.0.1/", Reach::Loopback), Err(Fault::Blocked(_))));
        assert!(!from.has_origin_of(&read("http://127.0.0.1:82/").unwrap()));
    }
}
