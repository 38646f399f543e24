//! Decoded pixels in memory, with what is known of them.

use caraway_picture::{Fault, Orientation, Size};
use image::DynamicImage;
use rs_vips::{
    VipsImage,
    enums::{BandFormat, Interpretation},
    voption::{Setter, VOption},
};

use crate::vips;

/// What the channels of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// One channel, with alpha or without, or three.
    Light,
    /// Four inks, in the four channels of an RGBA picture.
    Inks,
}

/// How the fourth channel, or the second, belongs to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpha {
    /// There is none.
    Opaque,
    /// Independent of the colours.
    Straight,
    /// The colours are multiplied with it already.
    Premultiplied,
}

/// Pixels of eight or sixteen bits a channel.
pub(crate) struct Raster {
    pub(crate) image: DynamicImage,
    pub(crate) space: Space,
    pub(crate) alpha: Alpha,
    /// How the pixels must be turned to stand upright.
    pub(crate) orientation: Orientation,
    /// The profile that the numbers are meant in.
    pub(crate) profile: Option<Vec<u8>>,
    /// The original's EXIF, without a prefix.
    pub(crate) exif: Option<Vec<u8>>,
    /// What was passed over.
    pub(crate) warnings: Vec<String>,
}

/// The size of an image in memory.
pub(crate) fn size_of(image: &DynamicImage) -> Size {
    Size { width: image.width(), height: image.height() }
}

/// The size that libvips tells.
pub(crate) fn size_in_vips(image: &VipsImage) -> Size {
    let side = |pixels: i32| u32::try_from(pixels).unwrap_or(0);
    Size { width: side(image.get_width()), height: side(image.get_height()) }
}

/// Computes what libvips has only planned, and takes the pixels over. Errors: damage that shows only now.
pub(crate) fn from_vips(image: &VipsImage) -> Result<DynamicImage, Fault> {
    let (size, bands) = (size_in_vips(image), image.get_bands());
    let format = image.get_format().map_err(|_| vips::undecodable())?;
    let expected = size.pixels() * u64::try_from(bands).unwrap_or(0) * if format == BandFormat::Ushort { 2 } else { 1 };
    // Asked for first, because it can say that it failed.
    let bytes = image.copy_memory().map_err(|_| vips::undecodable())?.write_to_memory();
    if u64::try_from(bytes.len()) != Ok(expected) {
        return Err(vips::undecodable());
    }
    let Size { width, height } = size;
    let image = match (format, bands) {
        (BandFormat::Uchar, 1) => image::GrayImage::from_raw(width, height, bytes).map(Into::into),
        (BandFormat::Uchar, 2) => image::GrayAlphaImage::from_raw(width, height, bytes).map(Into::into),
        (BandFormat::Uchar, 3) => image::RgbImage::from_raw(width, height, bytes).map(Into::into),
        (BandFormat::Uchar, 4) => image::RgbaImage::from_raw(width, height, bytes).map(Into::into),
        (BandFormat::Ushort, bands) => wide(size, bands, &bytes),
        _ => None,
    };
    image.ok_or_else(|| Fault::Unsupported(format!("a picture of {bands} channels of {format:?}")))
}

fn wide(Size { width, height }: Size, bands: i32, bytes: &[u8]) -> Option<DynamicImage> {
    let values = bytes.chunks_exact(2).filter_map(|pair| Some(u16::from_ne_bytes(*pair.first_chunk()?))).collect();
    Some(match bands {
        1 => DynamicImage::ImageLuma16(image::ImageBuffer::from_raw(width, height, values)?),
        2 => DynamicImage::ImageLumaA16(image::ImageBuffer::from_raw(width, height, values)?),
        3 => DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(width, height, values)?),
        4 => DynamicImage::ImageRgba16(image::ImageBuffer::from_raw(width, height, values)?),
        _ => return None,
    })
}

/// A copy for libvips.
pub(crate) fn to_vips(image: &DynamicImage, space: Space) -> Result<VipsImage, Fault> {
    let deep = image.as_bytes().len() > image.to_bytes_per_channel(1);
    let (format, grey, light) = if deep {
        (BandFormat::Ushort, Interpretation::Grey16, Interpretation::Rgb16)
    } else {
        (BandFormat::Uchar, Interpretation::BW, Interpretation::Srgb)
    };
    let interpretation = match (space, image.color().has_color()) {
        (Space::Inks, _) => Interpretation::Cmyk,
        (Space::Light, true) => light,
        (Space::Light, false) => grey,
    };
    let side = |pixels: u32| i32::try_from(pixels).unwrap_or(0);
    let (width, height, bands) = (side(image.width()), side(image.height()), i32::from(image.color().channel_count()));
    let copy = VipsImage::new_from_memory_copy(image.as_bytes(), width, height, bands, format);
    let typed = VOption::new().set("interpretation", vips::number(interpretation));
    copy.and_then(|copy| copy.copy_with_opts(typed)).map_err(|_| vips::unwritable())
}

trait Channels {
    fn to_bytes_per_channel(&self, bytes: usize) -> usize;
}

impl Channels for DynamicImage {
    /// How long the pixels would be with so many bytes a channel.
    fn to_bytes_per_channel(&self, bytes: usize) -> usize {
        let pixels = usize::try_from(size_of(self).pixels()).unwrap_or(usize::MAX);
        pixels.saturating_mul(usize::from(self.color().channel_count())).saturating_mul(bytes)
    }
}
