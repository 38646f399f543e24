//! What the worker and the process of the codecs say to each other over its standard input and output.
//!
//! The worker sends a [`Request`] and the file. The codecs read the header and answer with the memory that they need
//! ([`Reply::Needs`]); the worker says [`Go`] as soon as that much is free. Then comes the result, with its bytes, or a
//! fault. The sizes of everything are known before it is read, because a decoder that was taken over may say anything.

use std::io::{self, Read};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Fault, Format, Options};

/// Most bytes of what is said, without files.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// A picture is to be made; as many bytes as it says follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// What is asked for.
    pub options: Options,
    /// Length of the file.
    pub bytes: u64,
    /// Most pixels that the picture may have.
    pub pixels_max: u64,
    /// Most mebibytes that decoding may take.
    pub mebibytes_max: u32,
}

/// The memory is there.
#[derive(Debug, Serialize, Deserialize)]
pub struct Go {
    /// What the process may take for this picture.
    pub mebibytes: u32,
    /// Seconds of processor time that it may take.
    pub seconds: u32,
}

/// What the codecs say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The header is read; decoding takes so many mebibytes.
    Needs(u32),
    /// The picture is made; as many bytes as it says follow.
    Made(Made),
    /// There is no picture.
    Fault(Fault),
}

/// A finished picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// What it is.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Length of the file.
    pub bytes: u64,
    /// What is not as it should be in the original, and was passed over.
    pub warnings: Vec<String>,
}

/// The other side said what it may not say, or nothing.
#[derive(Debug, thiserror::Error)]
pub enum WireFault {
    /// The other side has ended, or cannot be reached.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Longer than [`HEADER_BYTES_MAX`], or not what was to be said.
    #[error("the other side says what cannot be read")]
    Nonsense,
}

/// What is sent: its length, four bytes with the lowest first, and its JSON.
pub fn frame(said: &impl Serialize) -> Result<Vec<u8>, WireFault> {
    let json = serde_json::to_vec(said).map_err(|_| WireFault::Nonsense)?;
    let length = u32::try_from(json.len()).map_err(|_| WireFault::Nonsense)?;
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// Reads what the other side says. `None` where it has ended.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>, WireFault> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > HEADER_BYTES_MAX {
        return Err(WireFault::Nonsense);
    }
    let mut json = vec![0; length];
    from.read_exact(&mut json)?;
    serde_json::from_slice(&json).map(Some).map_err(|_| WireFault::Nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read() {
        let go = frame(&Go { mebibytes: 7, seconds: 9 }).unwrap();
        let read: Go = read_frame(&mut &go[..]).unwrap().unwrap();
        assert_eq!((read.mebibytes, read.seconds), (7, 9));
        assert!(read_frame::<Go>(&mut &b""[..]).unwrap().is_none());
        assert!(matches!(read_frame::<Go>(&mut &b"\xff\xff\xff\xff"[..]), Err(WireFault::Nonsense)));
        assert!(matches!(read_frame::<Go>(&mut &b"\x02\0\0\0[]"[..]), Err(WireFault::Nonsense)));
    }
}
