//! Origins whose web pages may call this API: the CORS setting. Without one, no page of another origin may.

use std::{fmt, str::FromStr, sync::Arc};

use actix_web::http::uri::Authority;

/// The origins of the setting, as browsers write them. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AllowedOrigins(Arc<[String]>);

impl AllowedOrigins {
    /// Whether the setting names none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What is no list of origins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NoOrigin(String);

impl fmt::Display for NoOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no origin; write it as https://app.example.com or http://localhost:3000, without a path",
            self.0
        )
    }
}

impl std::error::Error for NoOrigin {}

impl FromStr for AllowedOrigins {
    type Err = NoOrigin;

    /// With commas between; an empty text has none.
    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| origin(part).ok_or_else(|| NoOrigin(part.to_owned()))).collect::<Result<_, _>>().map(Self)
    }
}

/// Scheme, host and port in lower case. `*` is none: it would let every page on the web drive an open installation.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let parsed: Authority = authority.parse().ok()?;
    let (host, has_port) = (parsed.host(), parsed.port_u16().is_some());
    let is_whole = !host.is_empty() && !authority.contains('@') && (has_port || authority == host);
    is_whole.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_origins_is_read() {
        let read = |text: &str| text.parse::<AllowedOrigins>();
        assert!(read("").unwrap().is_empty() && read(" , ").unwrap().is_empty());
        let two = read("https://App.example.com, http://[::1]:3000").unwrap();
        assert_eq!(two.iter().collect::<Vec<_>>(), ["https://app.example.com", "http://[::1]:3000"]);
        for wrong in [
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://a/b",
            "https://a/",
            "https://u@a",
            "https://:1",
            "https://a:",
            "https://a:x",
            "ftp://a",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
