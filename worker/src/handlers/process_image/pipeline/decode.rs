//! From bytes to pixels, with the header judged before any pixel is paid for.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::size::{SIDE_MAX, Size};
use super::{Format, PictureFault};

/// Most bytes that decoded pixels may take.
const PIXEL_BYTES_MAX: u64 = 200 * 1024 * 1024;
/// A thumbnail should not carry a colour profile many times its own size.
const PROFILE_BYTES_MAX: usize = 64 * 1024;

/// An image of which only the header has been read.
pub(super) struct Source<D> {
    decoder: D,
    format: ImageFormat,
    orientation: Orientation,
    profile: Option<Vec<u8>>,
}

/// Reads the header and refuses what is too large.
///
/// `Limits` are a request: of these decoders PNG, GIF and TIFF heed `max_alloc`, while JPEG,
/// WebP and BMP look at the sides alone. Pixel count and bytes are therefore judged here for all.
/// What a decoder needs besides the pixels is bounded by their number (a progressive JPEG at
/// worst: 8 bytes for each).
pub(super) fn open(input: &[u8]) -> Result<Source<impl ImageDecoder>, PictureFault> {
    let format = image::guess_format(input).map_err(|_| PictureFault::NotAnImage)?;
    if !format.reading_enabled() {
        return Err(PictureFault::NotAnImage);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(PIXEL_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(input), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault)?;

    let (width, height) = decoder.dimensions();
    let size = Size { width, height };
    if size.pixels() == 0 {
        return Err(PictureFault::CorruptImage("it has no pixels".to_owned()));
    }
    if !size.is_allowed() || decoder.total_bytes() > PIXEL_BYTES_MAX {
        return Err(PictureFault::ImageTooLarge);
    }
    if format == ImageFormat::Jpeg && !reaches_its_end(input) {
        return Err(PictureFault::CorruptImage("it is truncated".to_owned()));
    }
    // Metadata that cannot be read are no reason to refuse good pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| profile.len() <= PROFILE_BYTES_MAX);
    Ok(Source { decoder, format, orientation, profile })
}

impl<D: ImageDecoder> Source<D> {
    /// How the pixels must be turned to stand upright.
    pub(super) fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The size as a viewer sees it, that is after turning.
    pub(super) fn upright_size(&self) -> Size {
        let (width, height) = self.decoder.dimensions();
        let size = Size { width, height };
        if swaps_sides(self.orientation) { size.transposed() } else { size }
    }

    /// The format that the result has when none is asked for.
    pub(super) fn own_format(&self) -> Format {
        match self.format {
            ImageFormat::Jpeg => Format::Jpeg,
            ImageFormat::WebP => Format::Webp,
            _ => Format::Png,
        }
    }

    /// The colour profile, without which a photograph from a wide-gamut camera looks pale.
    pub(super) fn take_profile(&mut self) -> Option<Vec<u8>> {
        self.profile.take()
    }

    /// Decodes the pixels, of an animation those of the first frame.
    ///
    /// Neither image nor zune-jpeg can decode a JPEG at a fraction of its size, as libjpeg does.
    pub(super) fn decode(self) -> Result<DynamicImage, PictureFault> {
        DynamicImage::from_decoder(self.decoder).map_err(fault)
    }
}

/// Whether turning exchanges width and height.
pub(super) fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

/// Whether a JPEG has its end-of-image marker.
///
/// Asked for because the decoder paints what is missing grey and calls that success. Walking from
/// the start passes over the marker of a thumbnail inside the metadata, and finds the image's own
/// before whatever a camera appended to it.
fn reaches_its_end(jpeg: &[u8]) -> bool {
    const END: u8 = 0xD9;
    if jpeg.ends_with(&[0xFF, END]) {
        return true;
    }
    let mut rest = jpeg;
    while let Some(at) = rest.iter().position(|byte| *byte == 0xFF) {
        rest = rest.get(at + 1..).unwrap_or_default();
        match rest {
            [END, ..] => return true,
            // stuffing, restarts, start of image and padding have no length
            [0x00 | 0x01 | 0xD0..=0xD8 | 0xFF, ..] => {}
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(1 + length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    false
}

fn fault(error: ImageError) -> PictureFault {
    match error {
        ImageError::Limits(_) => PictureFault::ImageTooLarge,
        other => PictureFault::CorruptImage(other.to_string()),
    }
}
