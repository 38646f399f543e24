//! What a JPEG's header says, up to its first scan.

use crate::{Fault, Size};

/// How the coefficients are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// One scan, decoded line by line.
    Sequential,
    /// Several scans: all coefficients are held in memory until the last one is read.
    Buffered,
}

/// A JPEG's frame, and what is said beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JpegHeader {
    /// Stored pixels.
    pub size: Size,
    /// How it is decoded.
    pub coding: Coding,
    /// Coefficients of all components for each 64 pixels, at the most: 64 for each component.
    pub components: u32,
    /// Whether damage ends at a restart marker.
    pub restarts: bool,
    /// Its EXIF, without a prefix.
    pub exif: Option<Vec<u8>>,
    /// Its colour profile, if all parts of it are there.
    pub profile: Option<Vec<u8>>,
}

impl JpegHeader {
    /// Reads the markers. Errors: what is no JPEG, and the varieties that no decoder here knows.
    pub fn read(file: &[u8]) -> Result<Self, Fault> {
        let mut rest = file.get(2..).unwrap_or_default();
        let mut frame = None;
        let (mut restarts, mut exif, mut profile) = (false, None, Vec::new());
        loop {
            let (marker, body, next) = segment(rest).ok_or_else(|| incomplete("its header is incomplete"))?;
            match marker {
                0xC0..=0xC2 | 0xC9 | 0xCA => frame = Some(start_of_frame(marker, body)?),
                0xC3 | 0xCB => return Err(Fault::Unsupported("JPEG without loss".to_owned())),
                0xC5..=0xC7 | 0xCD..=0xCF => return Err(Fault::Unsupported("hierarchical JPEG".to_owned())),
                0xE1 if exif.is_none() => exif = body.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec),
                0xE2 => profile.extend(body.strip_prefix(b"ICC_PROFILE\0")),
                0xDD => restarts = body.get(..2).is_some_and(|interval| interval != [0, 0]),
                0xDA => {
                    let (size, components, progressive) =
                        frame.ok_or_else(|| incomplete("a scan comes before its frame"))?;
                    let apart = body.first().is_some_and(|in_scan| u32::from(*in_scan) < components);
                    let coding = if progressive || apart { Coding::Buffered } else { Coding::Sequential };
                    return Ok(Self { size, coding, components, restarts, exif, profile: whole_profile(profile) });
                }
                _ => {}
            }
            rest = next;
        }
    }
}

/// The parts of a profile in one piece. Each begins with its number, from 1, and with how many there are.
fn whole_profile(mut parts: Vec<&[u8]>) -> Option<Vec<u8>> {
    parts.sort_by_key(|part| part.first());
    let count = parts.len();
    let in_order = parts.iter().enumerate().all(|(before, part)| {
        part.first_chunk().is_some_and(|[number, of]| usize::from(*number) == before + 1 && usize::from(*of) == count)
    });
    (count > 0 && in_order).then(|| parts.iter().filter_map(|part| part.get(2..)).flatten().copied().collect())
}

/// The next marker, what its segment holds, and what follows.
fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let start = bytes.iter().position(|byte| *byte == 0xFF)?;
    let bytes = bytes.get(start..)?;
    let fill = bytes.iter().position(|byte| *byte != 0xFF)?;
    let (marker, bytes) = bytes.get(fill..)?.split_first()?;
    if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD8) {
        return Some((*marker, &[], bytes));
    }
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?)).max(2);
    Some((*marker, bytes.get(2..length)?, bytes.get(length..)?))
}

/// Size, number of components, and whether the frame is progressive.
fn start_of_frame(marker: u8, body: &[u8]) -> Result<(Size, u32, bool), Fault> {
    let &[precision, high, low, wide, narrow, components, ..] = body else {
        return Err(incomplete("its frame is incomplete"));
    };
    if precision != 8 {
        return Err(Fault::Unsupported(format!("JPEG with {precision} bits a sample")));
    }
    let size = Size {
        width: u32::from(u16::from_be_bytes([wide, narrow])),
        height: u32::from(u16::from_be_bytes([high, low])),
    };
    Ok((size, u32::from(components), matches!(marker, 0xC2 | 0xCA)))
}

fn incomplete(told: &str) -> Fault {
    Fault::Corrupt(told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(marker: u8, precision: u8, in_scan: u8) -> Vec<u8> {
        let frame = [0xFF, marker, 0, 17, precision, 0, 9, 0, 7, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        [&[0xFF, 0xD8, 0xFF, 0xDD, 0, 4, 0, 5][..], &frame, &[0xFF, 0xDA, 0, 8, in_scan, 1, 0, 0, 63, 0]].concat()
    }

    #[test]
    fn frames_are_told_apart() {
        let read = |file: &[u8]| JpegHeader::read(file).map(|header| header.coding);
        assert_eq!(read(&with(0xC0, 8, 3)), Ok(Coding::Sequential));
        assert_eq!(read(&with(0xC0, 8, 1)), Ok(Coding::Buffered));
        assert_eq!(read(&with(0xC2, 8, 3)), Ok(Coding::Buffered));
        let header = JpegHeader::read(&with(0xC9, 8, 3)).unwrap();
        assert_eq!((header.size, header.restarts), (Size { width: 7, height: 9 }, true));
        for (marker, precision) in [(0xC3, 8), (0xC5, 8), (0xC1, 12)] {
            assert_eq!(read(&with(marker, precision, 3)).unwrap_err().code(), "unsupported_picture");
        }
        let whole = with(0xC0, 8, 3);
        for length in 0..whole.len() - 10 {
            assert_eq!(read(&whole[..length]).unwrap_err().code(), "corrupt_image");
        }
    }

    #[test]
    fn what_is_said_beside_the_frame() {
        let part = |number: u8, of: u8, told: u8| [&b"\xFF\xE2\0\x11ICC_PROFILE\0"[..], &[number, of, told]].concat();
        let said = |parts: &[Vec<u8>]| {
            let exif = b"\xFF\xE1\0\x0AExif\0\0II".to_vec();
            let whole = with(0xC0, 8, 3);
            let file = [&whole[..2], &exif, &parts.concat(), &whole[2..]].concat();
            let header = JpegHeader::read(&file).unwrap();
            assert_eq!(header.exif.as_deref(), Some(&b"II"[..]));
            header.profile
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[part(2, 2, b'b'), part(1, 2, b'a')]), Some(b"ab".to_vec()));
        assert_eq!(said(&[part(1, 2, b'a')]), None, "the second part is missing");
        assert_eq!(said(&[part(1, 2, b'a'), part(1, 2, b'b')]), None, "twice the first");
    }
}
