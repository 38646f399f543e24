//! The body of an answer: read up to a limit, which holds for what came and for what it unfolds to; then told as JSON, text,
//! or base64.

use std::io::{self, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use caraway_shared::task::check_json;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::{
    Response,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    http::HeaderMap,
};
use serde_json::{Value, value::RawValue};

use super::fault::Fault;

/// A body as it stands in the result.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) json: Box<RawValue>,
    pub(super) is_base64: bool,
}

/// Reads a whole body, unpacked.
pub(super) async fn read(response: &mut Response<Incoming>, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let encoding = response.headers().get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes().to_ascii_lowercase());
    let is_packed = matches!(encoding.as_deref(), Some(b"gzip" | b"x-gzip"));
    let mut unpacked = MultiGzDecoder::new(Bounded::new(bytes_max));
    let mut plain = Bounded::new(bytes_max);
    let mut came = 0_usize;
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|error| Fault::Unreachable(error.to_string()))?;
        let Ok(chunk) = frame.into_data() else { continue };
        came = came.saturating_add(chunk.len());
        if came > bytes_max {
            return Err(Fault::TooLarge(bytes_max));
        }
        let written = if is_packed { unpacked.write_all(&chunk) } else { plain.write_all(&chunk) };
        written.map_err(|error| broken(&error, bytes_max))?;
    }
    if !is_packed || came == 0 {
        return Ok(plain.bytes);
    }
    Ok(unpacked.finish().map_err(|error| broken(&error, bytes_max))?.bytes)
}

fn broken(error: &io::Error, bytes_max: usize) -> Fault {
    if error.kind() == io::ErrorKind::FileTooLarge {
        Fault::TooLarge(bytes_max)
    } else {
        Fault::NoHttp(format!("the body cannot be unpacked: {error}"))
    }
}

/// Takes so many bytes and not one more.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Bounded {
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max }
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The media type as the server says it.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// JSON as it is, text as a string, and anything else as base64. What calls itself JSON or text and is none is not believed.
pub(super) fn tell(content_type: Option<&str>, bytes: Vec<u8>) -> serde_json::Result<Told> {
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json" || kind.ends_with("+json");
    let is_text = is_json
        || kind.starts_with("text/")
        || kind.ends_with("+xml")
        || matches!(
            kind.as_str(),
            "application/xml" | "application/javascript" | "application/x-www-form-urlencoded" | "application/yaml"
        );
    if is_json && check_json(&bytes).is_ok() {
        let json = RawValue::from_string(String::from_utf8_lossy(&bytes).into_owned())?;
        return Ok(Told { json, is_base64: false });
    }
    match String::from_utf8(bytes) {
        Ok(text) if is_text => {
            Ok(Told { json: serde_json::value::to_raw_value(&Value::String(text))?, is_base64: false })
        }
        Ok(text) => base64(text.as_bytes()),
        Err(error) => base64(error.as_bytes()),
    }
}

fn base64(bytes: &[u8]) -> serde_json::Result<Told> {
    Ok(Told { json: serde_json::value::to_raw_value(&BASE64_STANDARD.encode(bytes))?, is_base64: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_told_by_its_type_if_that_is_true() {
        let told = |kind: &str, bytes: &[u8]| {
            let told = tell(Some(kind), bytes.to_vec()).unwrap();
            (told.json.get().to_owned(), told.is_base64)
        };
        assert_eq!(told("application/json", b"{\"a\": 1.0}"), ("{\"a\": 1.0}".into(), false));
        assert_eq!(told("application/problem+json; charset=utf-8", b"[]"), ("[]".into(), false));
        assert_eq!(told("application/json", b"{"), ("\"{\"".into(), false));
        assert_eq!(told("text/html; charset=utf-8", "ä".as_bytes()), ("\"ä\"".into(), false));
        assert_eq!(told("text/plain", b"\xff"), ("\"/w==\"".into(), true));
        assert_eq!(told("image/png", b"abc"), ("\"YWJj\"".into(), true));
        assert!(tell(None, Vec::new()).unwrap().is_base64);
    }

    #[test]
    fn nothing_unfolds_beyond_its_limit() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![0; 10 << 20]).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 20_000, "a bomb: {} bytes", packed.len());
        let mut unpacked = MultiGzDecoder::new(Bounded::new(100_000));
        let error = unpacked.write_all(&packed).unwrap_err();
        assert_eq!(broken(&error, 100_000), Fault::TooLarge(100_000));
        assert!(unpacked.get_ref().bytes.len() <= 100_000);
    }
}
