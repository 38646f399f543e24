//! Whether a JPEG with damage still is a picture.

use caraway_picture::{Fault, JpegHeader};

/// What libjpeg says of files that it shows in full: bytes that belong to nothing, and odd statements in the header.
const HARMLESS: [&str; 3] = ["extraneous bytes", "Unknown Adobe color transform", "Inconsistent progression"];

/// What is left of a damaged JPEG, by what its decoder complains of: a note for the result, or a fault.
///
/// A decoder goes on at the next restart marker, so that a stripe is lost; without such markers everything that
/// follows is shifted or grey, and a file that ends early has no rest at all.
pub(crate) fn judge(complaint: &str, header: &JpegHeader) -> Result<String, Fault> {
    if HARMLESS.iter().any(|words| complaint.contains(words)) {
        return Ok(format!("the file is not quite a JPEG ({complaint})"));
    }
    let ends_early = complaint.contains("remature end") || complaint.contains("nexpected end");
    let stripe = complaint.contains("Corrupt JPEG data");
    if header.restarts && stripe && !ends_early {
        return Ok(format!("a part of the picture is damaged ({complaint})"));
    }
    Err(Fault::Corrupt(if ends_early { "it is truncated".to_owned() } else { complaint.to_owned() }))
}

#[cfg(test)]
mod tests {
    use caraway_picture::{Coding, Size};

    use super::*;

    #[test]
    fn only_stripes_are_passed_over() {
        let size = Size { width: 9, height: 9 };
        let with = |restarts| JpegHeader {
            size,
            coding: Coding::Sequential,
            components: 3,
            restarts,
            exif: None,
            profile: None,
        };
        let bad_code = "VipsJpeg: Corrupt JPEG data: bad Huffman code";
        assert!(judge(bad_code, &with(true)).is_ok());
        assert!(judge(bad_code, &with(false)).is_err());
        assert!(judge("VipsJpeg: Premature end of JPEG file", &with(true)).is_err());
        assert!(judge("Corrupt JPEG data: 9 extraneous bytes before marker 0xd9", &with(false)).is_ok());
    }
}
