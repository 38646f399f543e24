//! From pixels to bytes: the channels a format can hold, and the encoders' settings.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::error::EncodingError;
use image::{
    ColorType, DynamicImage, GrayAlphaImage, GrayImage, ImageEncoder, ImageError, ImageFormat, ImageResult, RgbImage,
    RgbaImage,
};

use super::{Format, PictureFault};

const JPEG_QUALITY: u8 = 80;
/// The default level takes seven times as long for a photograph 4 % smaller; the fastest method
/// makes drawings twice as large.
const PNG_COMPRESSION: CompressionType = CompressionType::Level(1);

/// Brings a picture to 8 bits and to the channels it will be written with, and leaves those be
/// that have them already.
pub(super) fn tone(image: DynamicImage, format: Format, grayscale: bool) -> DynamicImage {
    let image = narrow(image);
    let image = if grayscale || format == Format::Jpeg { flatten(image) } else { image };
    match image {
        DynamicImage::ImageLuma8(_) => image,
        image if grayscale => image.into_luma8().into(),
        image => image,
    }
}

/// Sixteen bits and floating point to eight bits a channel.
fn narrow(image: DynamicImage) -> DynamicImage {
    match image.color() {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => image,
        ColorType::L16 => image.into_luma8().into(),
        ColorType::La16 => image.into_luma_alpha8().into(),
        other if other.has_alpha() => image.into_rgba8().into(),
        _ => image.into_rgb8().into(),
    }
}

/// Lays a transparent picture on white.
fn flatten(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageRgba8(image) => rgb_on_white(&image).into(),
        DynamicImage::ImageLumaA8(image) => gray_on_white(&image).into(),
        opaque => opaque,
    }
}

fn rgb_on_white(image: &RgbaImage) -> RgbImage {
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0;
        to.0 = [red, green, blue].map(|value| on_white(value, alpha));
    }
    flat
}

fn gray_on_white(image: &GrayAlphaImage) -> GrayImage {
    let mut flat = GrayImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [value, alpha] = from.0;
        to.0 = [on_white(value, alpha)];
    }
    flat
}

/// `value` at `alpha` over white, rounded.
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    let over = value * alpha + 255 * (255 - alpha);
    u8::try_from((over + 127) / 255).unwrap_or(u8::MAX)
}

/// Encodes the picture.
pub(super) fn write(
    image: &DynamicImage,
    format: Format,
    quality: Option<u8>,
    profile: Option<Vec<u8>>,
) -> Result<Vec<u8>, PictureFault> {
    let mut bytes = Vec::new();
    let profile = profile.filter(|profile| describes(profile, image, format));
    let written = match format {
        Format::Jpeg => write_jpeg(&mut bytes, image, quality.unwrap_or(JPEG_QUALITY), profile),
        Format::Png => {
            let encoder = PngEncoder::new_with_quality(&mut bytes, PNG_COMPRESSION, FilterType::Adaptive);
            write_with(encoder, image, profile)
        }
        Format::Webp => write_with(WebPEncoder::new_lossless(&mut bytes), image, profile),
    };
    written.map_err(|fault| PictureFault::EncodingFailed(fault.to_string()))?;
    Ok(bytes)
}

/// The crate's own choice of sampling is `ImageMagick`'s: colour at half the resolution below quality 90. What has no
/// colour here is [`tone`]d to one channel.
fn write_jpeg(bytes: &mut Vec<u8>, image: &DynamicImage, quality: u8, profile: Option<Vec<u8>>) -> ImageResult<()> {
    let failed = |fault| ImageError::Encoding(EncodingError::new(ImageFormat::Jpeg.into(), fault));
    let mut encoder = jpeg_encoder::Encoder::new(bytes, quality);
    encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
    if let Some(profile) = profile {
        encoder.add_icc_profile(&profile).map_err(failed)?;
    }
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX); // a result has 8192 at most
    let channels = if image.color().has_color() { jpeg_encoder::ColorType::Rgb } else { jpeg_encoder::ColorType::Luma };
    encoder.encode(image.as_bytes(), side(image.width()), side(image.height()), channels).map_err(failed)
}

fn write_with(mut encoder: impl ImageEncoder, image: &DynamicImage, profile: Option<Vec<u8>>) -> ImageResult<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).map_err(ImageError::Unsupported)?;
    }
    encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into())
}

/// Whether a profile is about channels like these: that of a CMYK photograph or of a colour picture
/// made gray no longer is. Bytes 16 to 19 of a profile name its channels.
fn describes(profile: &[u8], image: &DynamicImage, format: Format) -> bool {
    let channels: &[u8] = if image.color().has_color() || format == Format::Webp { b"RGB " } else { b"GRAY" };
    profile.get(16..20) == Some(channels)
}
