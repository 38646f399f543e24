//! What the first directory of a TIFF says of its samples. A decoder that is not told takes a fourth sample for alpha.

use crate::Fault;

/// What a sample beyond the colours means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtraSample {
    /// There is none.
    #[default]
    Nothing,
    /// Unspecified: it is no part of the picture.
    Ignored,
    /// Alpha with which the colours are multiplied already.
    Associated,
    /// Alpha of its own.
    Unassociated,
}

/// The facts that a decoder has to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TiffHeader {
    /// The first sample beyond the colours.
    pub extra: ExtraSample,
    /// The page's orientation, as EXIF numbers it; 1 where the file has none.
    pub orientation: u16,
    /// How many samples belong to the colours: 1, 3 or 4; 0 where the file does not say.
    pub colours: u16,
}

/// Tags of interest.
const PHOTOMETRIC: u16 = 262;
const ORIENTATION: u16 = 274;
const EXTRA_SAMPLES: u16 = 338;
const DNG_VERSION: u16 = 50_706;
/// A colour filter array, and linear raw: what a sensor saw, not a picture.
const RAW: [u16; 2] = [32_803, 34_892];

impl TiffHeader {
    /// Reads a page's directory. A file that is no classic TIFF, or that ends before, tells nothing here; the decoder will
    /// judge it. Errors: raw photographs, whose first directory is a preview at best.
    pub fn read(file: &[u8], page: u32) -> Result<Self, Fault> {
        let mut header = Self { orientation: 1, ..Self::default() };
        let Some(directory) = Directory::of(file, page) else { return Ok(header) };
        for (tag, value) in directory.entries() {
            match tag {
                PHOTOMETRIC if RAW.contains(&value) => return Err(raw()),
                PHOTOMETRIC => header.colours = colours(value),
                DNG_VERSION => return Err(raw()),
                ORIENTATION => header.orientation = value,
                EXTRA_SAMPLES => {
                    header.extra = match value {
                        1 => ExtraSample::Associated,
                        2 => ExtraSample::Unassociated,
                        _ => ExtraSample::Ignored,
                    }
                }
                _ => {}
            }
        }
        Ok(header)
    }
}

fn raw() -> Fault {
    Fault::Unsupported("a raw photograph (DNG, NEF and the like)".to_owned())
}

const fn colours(photometric: u16) -> u16 {
    match photometric {
        0 | 1 | 3 => 1,
        5 => 4,
        2 | 6 | 8..=10 => 3,
        _ => 0,
    }
}

/// A directory of twelve-byte entries.
struct Directory<'a> {
    file: &'a [u8],
    little: bool,
    start: usize,
}

impl<'a> Directory<'a> {
    /// Follows the chain of directories; never further than `page` steps.
    fn of(file: &'a [u8], page: u32) -> Option<Self> {
        let little = match file.get(..4)? {
            [b'I', b'I', 42, 0] => true,
            [b'M', b'M', 0, 42] => false,
            _ => return None,
        };
        let mut directory = Self { file, little, start: 0 };
        directory.start = usize::try_from(directory.long(4)?).ok()?;
        for _ in 0..page {
            let end = directory.start.checked_add(2 + usize::from(directory.short(directory.start)?) * 12)?;
            directory.start = usize::try_from(directory.long(end)?).ok()?;
        }
        Some(directory)
    }

    /// Tags, and their first value as far as it is a short one.
    fn entries(&self) -> impl Iterator<Item = (u16, u16)> {
        let count = self.short(self.start).unwrap_or(0);
        (0..usize::from(count)).map_while(|entry| {
            let at = self.start.checked_add(2 + entry * 12)?;
            Some((self.short(at)?, self.short(at + 8)?))
        })
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.file.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.file.get(at..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiff(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut file = b"MM\0\x2a\0\0\0\x08".to_vec();
        file.extend(u16::try_from(entries.len()).unwrap().to_be_bytes());
        for (tag, value) in entries {
            file.extend([tag.to_be_bytes(), 3_u16.to_be_bytes(), [0, 0], [0, 1], value.to_be_bytes(), [0, 0]].concat());
        }
        file
    }

    #[test]
    fn samples_and_raw_are_told() {
        let header = TiffHeader::read(&tiff(&[(262, 2), (274, 6), (338, 1)]), 0).unwrap();
        assert_eq!(header, TiffHeader { extra: ExtraSample::Associated, orientation: 6, colours: 3 });
        for raw in [&[(262, 32_803)][..], &[(50_706, 1)]] {
            assert_eq!(TiffHeader::read(&tiff(raw), 0).unwrap_err().code(), "unsupported_picture");
        }
        assert_eq!(TiffHeader::read(b"MM\0\x2a\xff\xff\xff\xff", 9).unwrap().orientation, 1);
    }
}
