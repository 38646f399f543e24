//! What `process_image` does to a picture: bytes in, bytes out, no I/O and no clock.
//!
//! The steps are in the order that touches the fewest pixels: the header is read and judged, the
//! size of the result is settled, only then are pixels decoded; the picture is scaled before it is
//! turned, narrowed or flattened, unless it grows, when the tones come first.
//!
//! It runs for as long as a big picture takes: call it on the blocking pool.

mod decode;
mod encode;
mod size;
#[cfg(test)]
mod tests;

use fast_image_resize::{MulDiv, ResizeOptions, Resizer};
use image::DynamicImage;
use serde::{Deserialize, Serialize};

use self::size::{Size, Target};

/// What is asked for. `Options::default()` is a thumbnail in the input's own format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Width of the result, 1 to 8192. Alone, the height follows from the ratio.
    pub width: Option<u32>,
    /// Height of the result, 1 to 8192. Alone, the width follows from the ratio.
    ///
    /// With neither, the longer side becomes 256 pixels, and a smaller picture keeps its size;
    /// a size that was asked for may enlarge.
    pub height: Option<u32>,
    /// How the picture meets a box of both width and height; without the two it says nothing.
    pub fit: Fit,
    /// Format of the result; by default the input's own, or PNG where that cannot be written.
    pub format: Option<Format>,
    /// 1 to 100, by default 80. It counts for JPEG alone and is ignored, as Pillow does, for PNG
    /// and WebP, which are lossless here: one set of options then serves a mixed album.
    pub quality: Option<u8>,
    /// One channel of luminance; transparency is flattened on white. (A WebP file has no
    /// one-channel form: there the three channels are equal.)
    pub grayscale: bool,
}

/// How a picture meets a box of another ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fit {
    /// As large as goes inside the box, ratio kept; no bars are added.
    #[default]
    Contain,
    /// The whole box, ratio kept, what sticks out is cut off on both sides alike.
    Cover,
    /// The whole box, stretched.
    Fill,
}

/// Formats that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Baseline JPEG, below quality 90 with colour at half the resolution; transparency is flattened on white.
    #[serde(alias = "jpg")]
    Jpeg,
    /// PNG, 8 bits a channel.
    Png,
    /// Lossless WebP: the lossy encoder is C, and this workspace has no C in it.
    Webp,
}

impl Format {
    /// The content type under which the result is stored.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
        }
    }
}

/// A finished picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The encoded file.
    pub bytes: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What `bytes` is.
    pub format: Format,
}

/// Why there is no picture. The function is pure, so every fault is final: a retry would end alike.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureFault {
    /// The options contradict the limits.
    #[error("invalid options: {0}")]
    InvalidOptions(String),
    /// Not the beginning of any format that is read here.
    #[error("not a JPEG, PNG, WebP, GIF, BMP or TIFF image")]
    NotAnImage,
    /// Known by its first bytes, but truncated, damaged, or of a variety that the decoder lacks.
    #[error("the image cannot be decoded: {0}")]
    CorruptImage(String),
    /// Refused by its header.
    #[error("the image is larger than 8192 pixels a side, 40 megapixels or 200 MiB of pixels")]
    ImageTooLarge,
    /// The result could not be made or written.
    #[error("the result cannot be encoded: {0}")]
    EncodingFailed(String),
}

impl PictureFault {
    /// The code under which callers know the fault; it never changes.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::InvalidOptions(_) => "invalid_options",
            Self::NotAnImage => "not_an_image",
            Self::CorruptImage(_) => "corrupt_image",
            Self::ImageTooLarge => "image_too_large",
            Self::EncodingFailed(_) => "encoding_failed",
        }
    }
}

/// Makes the picture that `options` ask for out of an image file.
pub(crate) fn process(input: &[u8], options: &Options) -> Result<Picture, PictureFault> {
    options.check()?;
    let mut source = decode::open(input)?;
    let target = size::target(source.upright_size(), options)?;
    let format = options.format.unwrap_or_else(|| source.own_format());
    let (turn, profile) = (source.orientation(), source.take_profile());

    // Decoders know nothing of orientation; the target is laid on its side to meet their pixels.
    let lying = if decode::swaps_sides(turn) { target.transposed() } else { target };
    let mut image = source.decode()?;
    if lying.size.pixels() <= Size::of(&image).pixels() {
        image = encode::tone(scale(image, lying)?, format, options.grayscale);
    } else {
        image = scale(encode::tone(image, format, options.grayscale), lying)?;
    }
    image.apply_orientation(turn);

    let bytes = encode::write(&image, format, options.quality, profile)?;
    Ok(Picture { bytes, width: image.width(), height: image.height(), format })
}

impl Options {
    /// Checks what can be checked without the picture; `process` does so itself.
    pub(crate) fn check(&self) -> Result<(), PictureFault> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side.is_some_and(|side| !(1..=size::SIDE_MAX).contains(&side)) {
                return Err(PictureFault::InvalidOptions(format!("{name} must be 1 to {}", size::SIDE_MAX)));
            }
        }
        if self.quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
            return Err(PictureFault::InvalidOptions("quality must be 1 to 100".to_owned()));
        }
        Ok(())
    }
}

/// Lanczos3 to the target's size, at the depth the picture has.
///
/// Transparent pixels must not bleed their colour into the visible ones. The crate's own way to
/// that is a premultiplied copy of the source; in place it is as right and spares the memory.
fn scale(mut image: DynamicImage, target: Target) -> Result<DynamicImage, PictureFault> {
    if Size::of(&image) == target.size {
        return Ok(image);
    }
    let failed = |fault: &dyn std::error::Error| PictureFault::EncodingFailed(format!("resizing failed: {fault}"));
    let alpha = image.color().has_alpha();
    let multiplication = MulDiv::new();
    if alpha {
        multiplication.multiply_alpha_inplace(&mut image).map_err(|fault| failed(&fault))?;
    }
    let mut scaled = DynamicImage::new(target.size.width, target.size.height, image.color());
    let mut how = ResizeOptions::new().use_alpha(false);
    if target.crop {
        how = how.fit_into_destination(Some((0.5, 0.5)));
    }
    Resizer::new().resize(&image, &mut scaled, &how).map_err(|fault| failed(&fault))?;
    if alpha {
        multiplication.divide_alpha_inplace(&mut scaled).map_err(|fault| failed(&fault))?;
    }
    Ok(scaled)
}
