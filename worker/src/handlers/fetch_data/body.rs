//! The body of an answer: read up to a limit, which holds for what came and for what it unfolds to.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::{Response, body::Incoming, header::CONTENT_ENCODING};

use super::fault::Fault;

/// Reads a whole body, unpacked.
pub(super) async fn read(response: &mut Response<Incoming>, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let encoding = response.headers().get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes().to_ascii_lowercase());
    let is_packed = matches!(encoding.as_deref(), Some(b"gzip" | b"x-gzip"));
    let mut unpacked = MultiGzDecoder::new(Bounded::new(bytes_max));
    let mut plain = Bounded::new(bytes_max);
    let mut came = 0_usize;
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|error| Fault::Incomplete(error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
