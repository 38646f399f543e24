//! Of which kind a file is, by its first bytes.

use crate::Format;

/// Kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say all")]
pub enum Kind {
    Jpeg,
    Png,
    Webp,
    Gif,
    Tiff,
    Bmp,
    /// AV1 in HEIF.
    Avif,
    /// HEVC in HEIF.
    Heic,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// A picture that is read.
    Read(Kind),
    /// A picture of a kind that is not read; its name.
    Other(&'static str),
    /// No picture.
    Nothing,
}

impl Kind {
    /// The format of a result for which none is asked.
    pub const fn own_format(self) -> Format {
        match self {
            Self::Jpeg | Self::Heic => Format::Jpeg,
            Self::Webp => Format::Webp,
            Self::Avif => Format::Avif,
            Self::Png | Self::Gif | Self::Tiff | Self::Bmp => Format::Png,
        }
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Avif => "AVIF",
            Self::Heic => "HEIC",
        }
    }
}

/// Of which kind a file is. Its first 64 bytes are enough.
pub fn recognise(file: &[u8]) -> Recognised {
    let kind = match file {
        [0xFF, 0xD8, 0xFF, ..] => Kind::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Kind::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Kind::Webp,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Kind::Gif,
        [b'I', b'I', 42, 0, _, _, _, _, b'C', b'R', ..] => return Recognised::Other("Canon raw (CR2)"),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Kind::Tiff,
        [b'I', b'I', b'R', b'O' | b'S', ..] => return Recognised::Other("Olympus raw (ORF)"),
        [b'I', b'I', 0x55, 0, ..] => return Recognised::Other("Panasonic raw (RW2)"),
        // "BM", the file's size, four reserved bytes: two letters alone would claim half of all texts
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Kind::Bmp,
        [b'B', b'A', _, _, _, _, _, _, _, _, _, _, _, _, b'B', b'M', ..] => {
            return Recognised::Other("OS/2 bitmap array");
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return heif(file),
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => return Recognised::Other("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xFF, 0x4F, 0xFF, 0x51, ..] => {
            return Recognised::Other("JPEG 2000");
        }
        [b'8', b'B', b'P', b'S', ..] => return Recognised::Other("Photoshop (PSD)"),
        [0, 0, 1, 0, ..] => return Recognised::Other("Windows icon (ICO)"),
        [b'q', b'o', b'i', b'f', ..] => return Recognised::Other("QOI"),
        [0x76, 0x2F, 0x31, 0x01, ..] => return Recognised::Other("OpenEXR"),
        [b'%', b'P', b'D', b'F', ..] => return Recognised::Other("PDF"),
        _ => return Recognised::Nothing,
    };
    Recognised::Read(kind)
}

/// By the brands of a `ftyp` box: the major one, then the compatible ones.
fn heif(file: &[u8]) -> Recognised {
    let length = file.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
    let end = usize::try_from(length).unwrap_or(usize::MAX).min(file.len()).min(64);
    let major = file.get(8..12).unwrap_or_default();
    let compatible = file.get(16..end).unwrap_or_default();
    for brand in std::iter::once(major).chain(compatible.chunks_exact(4)) {
        match brand {
            b"avif" | b"avis" => return Recognised::Read(Kind::Avif),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => return Recognised::Read(Kind::Heic),
            b"crx " => return Recognised::Other("Canon raw (CR3)"),
            _ => {}
        }
    }
    match major {
        b"mif1" | b"msf1" | b"mif2" => Recognised::Other("HEIF without AV1 or HEVC"),
        _ => Recognised::Other("a video, or another file of ISO media,"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        let cases: [(&[u8], Recognised); 8] = [
            (b"\xff\xd8\xff\xe0", Recognised::Read(Kind::Jpeg)),
            (b"MM\0\x2a....", Recognised::Read(Kind::Tiff)),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", Recognised::Read(Kind::Avif)),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Recognised::Read(Kind::Heic)),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", Recognised::Other("a video, or another file of ISO media,")),
            (b"II\x2a\0\x10\0\0\0CR\x02\0", Recognised::Other("Canon raw (CR2)")),
            (b"BMW is a brand", Recognised::Nothing),
            (b"", Recognised::Nothing),
        ];
        for (file, kind) in cases {
            assert_eq!(recognise(file), kind, "{file:?}");
        }
    }
}
