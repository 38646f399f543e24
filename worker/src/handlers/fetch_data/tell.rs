//! A body as it stands in the result: JSON as it is, text as a string, and anything else as base64.
//!
//! Text is decoded by the `charset` of its type (the labels of the WHATWG's standard), by a byte order mark, or as UTF-8. What
//! does not decode without a fault, or names a charset that is not known, is told as base64: a string is never garbled.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use caraway_shared::task::check_json;
use encoding_rs::Encoding;
use hyper::{header::CONTENT_TYPE, http::HeaderMap};
use serde_json::value::{RawValue, to_raw_value};

/// A body as it stands in the result.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) json: Box<RawValue>,
    pub(super) is_base64: bool,
}

/// The media type as the server says it.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// What calls itself JSON or text and is none is not believed. JSON that not every parser reads alike (a key twice, more
/// than 32 levels) is a string.
pub(super) fn tell(content_type: Option<&str>, bytes: &[u8]) -> serde_json::Result<Told> {
    let declared = Declared::read(content_type.unwrap_or_default());
    let text = if declared.is_text() { decoded(bytes, declared.charset.as_deref()) } else { None };
    let json = match text {
        Some(text) if declared.is_json() && check_json(text.as_bytes()).is_ok() => RawValue::from_string(text)?,
        Some(text) => to_raw_value(&text)?,
        None => return Ok(Told { json: to_raw_value(&BASE64_STANDARD.encode(bytes))?, is_base64: true }),
    };
    Ok(Told { json, is_base64: false })
}

/// A media type, in lower case.
struct Declared {
    kind: String,
    charset: Option<String>,
}

impl Declared {
    fn read(content_type: &str) -> Self {
        let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            (name.trim() == "charset").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
        });
        Self { kind, charset }
    }

    fn is_json(&self) -> bool {
        matches!(self.kind.as_str(), "application/json" | "text/json") || self.kind.ends_with("+json")
    }

    fn is_text(&self) -> bool {
        const SUFFIXES: [&str; 3] = ["+xml", "+yaml", "+json-seq"];
        const TEXTS: [&str; 20] = [
            "application/ecmascript",
            "application/graphql",
            "application/javascript",
            "application/json-seq",
            "application/json5",
            "application/jsonl",
            "application/jsonlines",
            "application/ld-json",
            "application/ndjson",
            "application/sql",
            "application/toml",
            "application/typescript",
            "application/x-javascript",
            "application/x-jsonlines",
            "application/x-ndjson",
            "application/x-sh",
            "application/x-www-form-urlencoded",
            "application/x-yaml",
            "application/xml",
            "application/yaml",
        ];
        self.is_json()
            || self.kind.starts_with("text/")
            || SUFFIXES.iter().any(|suffix| self.kind.ends_with(suffix))
            || TEXTS.contains(&self.kind.as_str())
    }
}

fn decoded(bytes: &[u8], charset: Option<&str>) -> Option<String> {
    let encoding = match charset {
        Some(label) => Encoding::for_label_no_replacement(label.as_bytes())?,
        None => encoding_rs::UTF_8,
    };
    // a byte order mark wins over the label, and goes
    let (text, _, is_faulty) = encoding.decode(bytes);
    (!is_faulty).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, bytes: &[u8]) -> (String, bool) {
        let told = tell(Some(kind), bytes).unwrap();
        (told.json.get().to_owned(), told.is_base64)
    }

    #[test]
    fn a_body_is_told_by_its_type_if_that_is_true() {
        assert_eq!(told("application/json", b"{\"a\": 1.0}"), ("{\"a\": 1.0}".into(), false));
        assert_eq!(told("application/problem+json; charset=utf-8", b"[]"), ("[]".into(), false));
        assert_eq!(told("application/json", b"{"), ("\"{\"".into(), false));
        assert_eq!(told("application/json", br#"{"a":1,"a":2}"#), (r#""{\"a\":1,\"a\":2}""#.into(), false));
        assert_eq!(told("text/html; charset=utf-8", "ä".as_bytes()), ("\"ä\"".into(), false));
        assert_eq!(told("text/plain", b"\xff"), ("\"/w==\"".into(), true));
        assert_eq!(told("image/png", b"abc"), ("\"YWJj\"".into(), true));
        assert!(tell(None, b"").unwrap().is_base64);
    }

    #[test]
    fn lines_of_json_and_scripts_are_text() {
        for kind in
            ["application/x-ndjson", "application/jsonl", "application/x-javascript", "text/javascript; charset=UTF-8"]
        {
            assert_eq!(told(kind, b"1\n2"), (r#""1\n2""#.into(), false), "{kind}");
        }
    }

    #[test]
    fn a_mark_of_the_byte_order_goes() {
        assert_eq!(told("application/json", b"\xef\xbb\xbf[1.50]"), ("[1.50]".into(), false));
        assert_eq!(told("text/plain", b"\xff\xfeh\0i\0"), ("\"hi\"".into(), false));
        assert_eq!(told("application/json; charset=utf-16", b"\xfe\xff\0[\x001\0]"), ("[1]".into(), false));
    }

    #[test]
    fn text_is_decoded_by_its_charset_or_not_at_all() {
        let japanese = b"\x1b$BF|K\\8l\x1b(B";
        for (charset, bytes, text) in [
            ("iso-2022-jp", japanese.as_slice(), "日本語"),
            ("\"Shift_JIS\"", b"\x93\xfa\x96\x7b", "日本"),
            ("ISO-8859-1", b"caf\xe9", "café"),
            ("ISO-8859-1", b"caf\xc3\xa9", "cafÃ©"),
            ("utf-16le", b"h\0i\0", "hi"),
            ("us-ascii", b"hi", "hi"),
        ] {
            assert_eq!(
                told(&format!("text/plain; format=flowed;charset={charset}"), bytes),
                (format!("{text:?}"), false)
            );
        }
        for (charset, bytes) in [
            ("hz-gb-2312", b"~{VPND~}".as_slice()),
            ("utf-7", b"+AOQ-"),
            ("klingon", b"hi"),
            ("", b"hi"),
            ("utf-8", b"caf\xe9"),
            ("utf-16le", b"\0\xd8h\0"),
            ("iso-2022-jp", b"\x1b$B\xff"),
        ] {
            assert!(told(&format!("text/plain; charset={charset}"), bytes).1, "{charset}");
        }
    }
}
