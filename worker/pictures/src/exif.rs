//! What of a picture's EXIF may come along: a list, so that nothing comes along that nobody thought of. Where a picture
//! was taken is not on it, nor what a camera's maker hides in a note of its own, nor an embedded thumbnail.

use std::io::Cursor;

use exif::{In, Reader, Tag, experimental::Writer};

const KEPT: [Tag; 27] = [
    Tag::ImageDescription,
    Tag::Make,
    Tag::Model,
    Tag::Software,
    Tag::DateTime,
    Tag::Artist,
    Tag::Copyright,
    Tag::ExposureTime,
    Tag::FNumber,
    Tag::ExposureProgram,
    Tag::PhotographicSensitivity,
    Tag::DateTimeOriginal,
    Tag::DateTimeDigitized,
    Tag::OffsetTime,
    Tag::OffsetTimeOriginal,
    Tag::OffsetTimeDigitized,
    Tag::ShutterSpeedValue,
    Tag::ApertureValue,
    Tag::BrightnessValue,
    Tag::ExposureBiasValue,
    Tag::MeteringMode,
    Tag::Flash,
    Tag::FocalLength,
    Tag::FocalLengthIn35mmFilm,
    Tag::WhiteBalance,
    Tag::LensMake,
    Tag::LensModel,
];

/// The kept part of an EXIF block, with or without its prefix; `None` where nothing is left, or it cannot be read.
pub(crate) fn kept(exif: &[u8]) -> Option<Vec<u8>> {
    let block = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let read = Reader::new().read_raw(block.to_vec()).ok()?;
    let fields: Vec<_> =
        read.fields().filter(|field| field.ifd_num == In::PRIMARY && KEPT.contains(&field.tag)).collect();
    if fields.is_empty() {
        return None;
    }
    let mut writer = Writer::new();
    for field in fields {
        writer.push_field(field);
    }
    let mut written = Cursor::new(Vec::new());
    writer.write(&mut written, true).ok()?;
    Some(written.into_inner())
}
