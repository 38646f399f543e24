//! From pixels to bytes.
//!
//! A picture with fewer pixels than its original is not larger than that, where the quality is left to us: it is written
//! coarser until it is not.

use caraway_picture::{Fault, Format, Options};
use image::{
    DynamicImage, ImageEncoder, ImageError,
    codecs::png::{CompressionType, FilterType, PngEncoder},
};
use rs_vips::voption::{Setter, VOption};

use crate::{
    embed,
    raster::{Space, to_vips},
    vips,
};

/// Qualities that are tried where none is asked for.
const QUALITIES: [u8; 5] = [80, 65, 50, 35, 20];
/// The same for AVIF, whose numbers mean more.
const AVIF_QUALITIES: [u8; 4] = [50, 40, 30, 20];
/// The default level takes seven times as long for a photograph 4 % smaller; the fastest method makes drawings twice as
/// large.
const PNG_COMPRESSION: CompressionType = CompressionType::Level(1);

/// How libvips has EXIF begin.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// What is written besides pixels.
pub(crate) struct Written<'a> {
    pub(crate) format: Format,
    pub(crate) options: &'a Options,
    pub(crate) profile: Option<Vec<u8>>,
    pub(crate) exif: Option<Vec<u8>>,
    /// The result's bytes should not be more, where that can be had.
    pub(crate) bytes_wanted: Option<usize>,
}

/// Encodes the picture.
pub(crate) fn write(image: &DynamicImage, how: &Written) -> Result<Vec<u8>, Fault> {
    match how.format {
        Format::Png => png(image, how),
        Format::Webp if how.options.lossless => webp(image, how, 100),
        Format::Jpeg => coarser(how, &QUALITIES, |quality| jpeg(image, how, quality)),
        Format::Webp => coarser(how, &QUALITIES, |quality| webp(image, how, quality)),
        Format::Avif => coarser(how, &AVIF_QUALITIES, |quality| avif(image, how, quality)),
    }
}

/// The first quality at which the result is small enough; the quality that was asked for, whatever comes of it.
fn coarser(how: &Written, qualities: &[u8], write: impl Fn(u8) -> Result<Vec<u8>, Fault>) -> Result<Vec<u8>, Fault> {
    if let Some(quality) = how.options.quality {
        return write(quality);
    }
    let mut smallest = Vec::new();
    for quality in qualities {
        smallest = write(*quality)?;
        if how.bytes_wanted.is_none_or(|wanted| smallest.len() <= wanted) {
            break;
        }
    }
    Ok(smallest)
}

/// `jpeg-encoder` stores colour at half the resolution below quality 90, as `ImageMagick` does.
fn jpeg(image: &DynamicImage, how: &Written, quality: u8) -> Result<Vec<u8>, Fault> {
    let failed = |fault: jpeg_encoder::EncodingError| Fault::Encoding(fault.to_string());
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
    encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
    encoder.set_progressive(how.options.progressive);
    if let Some(exif) = &how.exif {
        encoder.add_exif_metadata(exif).map_err(failed)?;
    }
    if let Some(profile) = &how.profile {
        encoder.add_icc_profile(profile).map_err(failed)?;
    }
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX); // a result has 8192 at most
    let channels = if image.color().has_color() { jpeg_encoder::ColorType::Rgb } else { jpeg_encoder::ColorType::Luma };
    encoder.encode(image.as_bytes(), side(image.width()), side(image.height()), channels).map_err(failed)?;
    Ok(bytes)
}

/// Compressed harder, and then with a palette of 256 colours, where it costs more than the original.
fn png(image: &DynamicImage, how: &Written) -> Result<Vec<u8>, Fault> {
    let mut smallest = if how.options.progressive {
        vips_png(image, how, false)?
    } else {
        plain_png(image, how).map_err(|fault| Fault::Encoding(fault.to_string()))?
    };
    for palette in [false, true] {
        if how.bytes_wanted.is_none_or(|wanted| smallest.len() <= wanted) {
            break;
        }
        let smaller = vips_png(image, how, palette)?;
        if smaller.len() < smallest.len() {
            smallest = smaller;
        }
    }
    Ok(smallest)
}

fn plain_png(image: &DynamicImage, how: &Written) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new_with_quality(&mut bytes, PNG_COMPRESSION, FilterType::Adaptive);
    if let Some(profile) = &how.profile {
        encoder.set_icc_profile(profile.clone()).map_err(ImageError::Unsupported)?;
    }
    if let Some(exif) = &how.exif {
        encoder.set_exif_metadata(exif.clone()).map_err(ImageError::Unsupported)?;
    }
    encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into())?;
    Ok(bytes)
}

/// With all filters to choose from; a palette without dither, because its noise costs bytes.
fn vips_png(image: &DynamicImage, how: &Written, palette: bool) -> Result<Vec<u8>, Fault> {
    let option = VOption::new().set("interlace", how.options.progressive).set("compression", 9);
    let option =
        if palette { option.set("palette", true).set("dither", 0.0) } else { option.set("filter", vips::ALL_FILTERS) };
    let made = with_profile(image, how)?.pngsave_buffer_with_opts(option).map_err(|_| vips::unwritable())?;
    embed::in_png(made, how.exif.as_deref())
}

/// WebP has three channels or four. Effort 2 takes half the time of the library's 4, and 3 % more bytes.
fn webp(image: &DynamicImage, how: &Written, quality: u8) -> Result<Vec<u8>, Fault> {
    let option = VOption::new().set("Q", i32::from(quality)).set("lossless", how.options.lossless).set("effort", 2);
    let made = with_profile(image, how)?.webpsave_buffer_with_opts(option).map_err(|_| vips::unwritable())?;
    embed::in_webp(made, how.exif.as_deref())
}

/// The library's middle effort takes a second for a megapixel.
fn avif(image: &DynamicImage, how: &Written, quality: u8) -> Result<Vec<u8>, Fault> {
    let option = VOption::new().set("Q", i32::from(quality)).set("compression", vips::AV1).set("effort", 2);
    let mut copy = with_profile(image, how)?;
    if let Some(exif) = &how.exif {
        let block = [EXIF_PREFIX, exif].concat();
        copy.set_blob_copy("exif-data", &block).map_err(|_| vips::unwritable())?;
    }
    let made = copy.heifsave_buffer_with_opts(option).map_err(|_| vips::complaint());
    made.map_err(|told| {
        if told.contains("nsupported") || told.contains("not supported") {
            Fault::Unsupported("writing AVIF, which this machine's libheif cannot,".to_owned())
        } else {
            Fault::Encoding(told)
        }
    })
}

fn with_profile(image: &DynamicImage, how: &Written) -> Result<rs_vips::VipsImage, Fault> {
    let mut copy = to_vips(image, Space::Light)?;
    if let Some(profile) = &how.profile {
        copy.set_blob_copy("icc-profile-data", profile).map_err(|_| vips::unwritable())?;
    }
    Ok(copy)
}
