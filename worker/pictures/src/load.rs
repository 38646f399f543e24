//! From bytes to pixels, of which as few are decoded as the result needs.

use std::io::Cursor;

use caraway_picture::{ExtraSample, Fault, Kind, Orientation, Size};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use rs_vips::{
    VipsImage,
    enums::{BandFormat, Interpretation},
    voption::{Setter, VOption},
};

use crate::{
    jpeg,
    raster::{Alpha, Raster, Space, from_vips, size_in_vips},
    scale,
    source::{Header, Source},
    vips,
};

/// What libvips decodes is taken into memory as it is up to so many pixels, and is scaled on the way there beyond.
pub(crate) const IN_MEMORY_PIXELS_MAX: u64 = 4_000_000;
/// PNG and BMP are decoded in Rust up to so many pixels. Beyond, libvips decodes a PNG line by line.
const IN_RUST_PIXELS_MAX: u64 = 16_000_000;

/// Whether a PNG or BMP of this size is decoded in Rust.
pub(crate) fn in_rust(size: Size) -> bool {
    size.pixels() <= IN_RUST_PIXELS_MAX
}

/// How a decoder makes a picture smaller while it decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shrink {
    Whole,
    /// 2, 4 or 8: one pixel for so many in each direction.
    By(u32),
}

/// The header of a PNG or BMP.
pub(crate) struct RustHeader {
    pub(crate) size: Size,
    pub(crate) orientation: Orientation,
    pub(crate) bytes_per_pixel: u64,
    pub(crate) interlaced: bool,
    /// The file as the decoder knows it, where that is not as it came.
    pub(crate) patched: Option<Vec<u8>>,
}

fn rust_decoder(kind: Kind, file: &[u8]) -> Result<impl ImageDecoder, Fault> {
    let format = if kind == Kind::Png { ImageFormat::Png } else { ImageFormat::Bmp };
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.no_limits(); // the process has its own
    reader.into_decoder().map_err(undecodable)
}

/// Reads the header of a PNG or BMP.
pub(crate) fn rust_header(kind: Kind, file: &[u8]) -> Result<RustHeader, Fault> {
    let mut decoder = rust_decoder(kind, file)?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_or(1, image::metadata::Orientation::to_exif);
    Ok(RustHeader {
        size: Size { width, height },
        orientation: Orientation::from_exif(orientation.into()),
        bytes_per_pixel: decoder.color_type().bytes_per_pixel().into(),
        interlaced: kind == Kind::Png && file.get(28) == Some(&1),
        patched: None,
    })
}

/// Opens a file with the one loader of its kind; libvips never guesses.
pub(crate) fn with_vips(file: &[u8], kind: Kind, page: u32, shrink: Shrink, strict: bool) -> Result<VipsImage, Fault> {
    let fail_on = if strict { vips::FAIL_ON_WARNING } else { vips::FAIL_ON_NOTHING };
    let option = VOption::new().set("access", vips::SEQUENTIAL).set("fail_on", fail_on);
    let page = i32::try_from(page).unwrap_or(i32::MAX);
    let by = match shrink {
        Shrink::By(by) => i32::try_from(by).unwrap_or(1),
        Shrink::Whole => 1,
    };
    let opened = match kind {
        Kind::Jpeg => VipsImage::jpegload_buffer_with_opts(file, option.set("shrink", by)),
        Kind::Webp => {
            VipsImage::webpload_buffer_with_opts(file, option.set("page", page).set("scale", 1.0 / f64::from(by)))
        }
        Kind::Gif => VipsImage::gifload_buffer_with_opts(file, option.set("page", page)),
        Kind::Tiff => VipsImage::tiffload_buffer_with_opts(file, option.set("page", page)),
        // where no page is named, it is the one that the file calls its primary picture
        Kind::Avif | Kind::Heic if page == 0 => VipsImage::heifload_buffer_with_opts(file, option),
        Kind::Avif | Kind::Heic => VipsImage::heifload_buffer_with_opts(file, option.set("page", page)),
        Kind::Png => VipsImage::pngload_buffer_with_opts(file, option),
        Kind::Bmp => return Err(Fault::TooLarge("a BMP may have 16 megapixels".to_owned())),
    };
    opened.map_err(|_| match vips::undecodable() {
        Fault::Corrupt(told) if page > 0 => Fault::InvalidOptions(format!("there is no page {page} ({told})")),
        fault => fault,
    })
}

/// How much a decoder may shrink: the result still has to be smaller than what it makes.
pub(crate) fn shrink(source: &Source) -> Shrink {
    let window = source.turn.stored_window(source.plan.window, source.turn.upright(source.size));
    let scaled = source.turn.upright(source.plan.scaled);
    let factor = (window.width / scaled.width.max(1)).min(window.height / scaled.height.max(1));
    match factor {
        8.. => Shrink::By(8),
        4..=7 => Shrink::By(4),
        2..=3 => Shrink::By(2),
        _ => Shrink::Whole,
    }
}

/// Decodes what the plan shows: cut to its window, not turned, and not smaller than the result.
pub(crate) fn decode(source: &Source) -> Result<Raster, Fault> {
    match &source.header {
        Header::Rust(header) if source.kind == Kind::Bmp || in_rust(source.size) => {
            in_rust_decoded(source, header.patched.as_deref().unwrap_or(source.file))
        }
        Header::Rust(_) => {
            let strict = false; // of a PNG, that is about its header only
            taken(source, &with_vips(source.file, Kind::Png, 0, Shrink::Whole, strict)?, source.turn)
        }
        Header::Jpeg(header) => jpeg::decode(source, header),
        Header::Tiff(extra, colours, image) => {
            let kept = match extra {
                ExtraSample::Ignored if *colours > 0 => Some(i32::from(*colours)),
                _ => None,
            };
            let image = match kept.filter(|kept| image.get_bands() > *kept) {
                Some(kept) => {
                    image.extract_band_with_opts(0, VOption::new().set("n", kept)).map_err(|_| vips::undecodable())?
                }
                None => image.clone(),
            };
            // colours that are multiplied with alpha, libvips divides itself
            taken(source, &image, source.turn)
        }
        Header::Vips(image) if source.kind == Kind::Webp => match shrink(source) {
            Shrink::Whole => taken(source, image, source.turn),
            by @ Shrink::By(_) => {
                taken(source, &with_vips(source.file, source.kind, source.options.page, by, true)?, source.turn)
            }
        },
        Header::Vips(image) => taken(source, image, source.turn),
    }
}

/// Takes what libvips has opened into memory.
pub(crate) fn taken(source: &Source, image: &VipsImage, turn: Orientation) -> Result<Raster, Fault> {
    let image = plain(image)?;
    let inks = image.get_interpretation().ok() == Some(Interpretation::Cmyk);
    let alpha = if image.hasalpha() && !inks { Alpha::Straight } else { Alpha::Opaque };
    let blob = |name: &str| match image.get_typeof(name) {
        Ok(kind) if kind != 0 => image.get_blob(name).ok(),
        _ => None,
    };
    let (profile, exif) = (blob("icc-profile-data"), blob("exif-data"));
    let upright = turn.upright(source.size);
    let window = turn.stored_window(source.plan.window, upright);
    let target = turn.upright(source.plan.scaled);
    let seen = scale::window_in_vips(&image, window, source.size)?;
    let pixels = if size_in_vips(&seen).pixels() > IN_MEMORY_PIXELS_MAX {
        from_vips(&scale::in_vips(&seen, target, alpha)?)?
    } else {
        from_vips(&seen)?
    };
    let space = if inks { Space::Inks } else { Space::Light };
    Ok(Raster { image: pixels, space, alpha, orientation: turn, profile, exif, warnings: Vec::new() })
}

/// Brings what has neither eight nor sixteen bits a channel to eight, where its colours say what it means.
fn plain(image: &VipsImage) -> Result<VipsImage, Fault> {
    let told = |_| vips::undecodable();
    let (format, space) = (image.get_format().map_err(told)?, image.get_interpretation().map_err(told)?);
    let known = matches!(
        space,
        Interpretation::Scrgb | Interpretation::Lab | Interpretation::Labq | Interpretation::Labs | Interpretation::Xyz
    );
    match format {
        _ if known => image.colourspace(Interpretation::Srgb).map_err(told),
        BandFormat::Uchar | BandFormat::Ushort => Ok(image.clone()),
        other => Err(Fault::Unsupported(format!("a picture with samples of {other:?}"))),
    }
}

fn in_rust_decoded(source: &Source, file: &[u8]) -> Result<Raster, Fault> {
    let mut decoder = rust_decoder(source.kind, file)?;
    // Metadata that cannot be read are no reason to refuse good pixels.
    let profile = decoder.icc_profile().ok().flatten();
    let exif = decoder.exif_metadata().ok().flatten();
    let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    let window = source.turn.stored_window(source.plan.window, source.turn.upright(source.size));
    if (window.width, window.height) != (image.width(), image.height()) {
        image = image.crop_imm(window.left, window.top, window.width, window.height);
    }
    let alpha = if image.color().has_alpha() { Alpha::Straight } else { Alpha::Opaque };
    let (space, orientation) = (Space::Light, source.turn);
    Ok(Raster { image, space, alpha, orientation, profile, exif, warnings: Vec::new() })
}

fn undecodable(error: ImageError) -> Fault {
    match error {
        ImageError::Unsupported(error) => Fault::Unsupported(format!("this variety ({error})")),
        ImageError::Limits(error) => Fault::TooLarge(error.to_string()),
        error => Fault::Corrupt(error.to_string()),
    }
}
