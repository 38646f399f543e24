//! JPEGs. libjpeg-turbo decodes them in one call where nothing is wrong with them; libvips, which is built on the same
//! library, decodes the others: damaged ones, inks, and what is too large to be in memory as a whole.
//!
//! For a small picture the pipeline of libvips costs several times what decoding costs: it hands each few lines from
//! thread to thread.

use caraway_picture::{Fault, JpegHeader, Size};
use image::{DynamicImage, GrayImage, RgbImage};
use turbojpeg::{Decompressor, Image, PixelFormat};

use crate::{
    damage,
    load::{self, IN_MEMORY_PIXELS_MAX, Shrink},
    raster::{Alpha, Raster, Space},
    scale,
    source::Source,
};

/// Decodes a JPEG at a fraction of its size, and once more where it is damaged and something is left.
pub(crate) fn decode(source: &Source, header: &JpegHeader) -> Result<Raster, Fault> {
    let by = load::shrink(source);
    if let Some(image) = at_once(source, header, by) {
        return Ok(raster(source, header, image));
    }
    let strictly = load::with_vips(source.file, source.kind, 0, by, true)
        .and_then(|image| load::taken(source, &image, source.turn));
    let Err(Fault::Corrupt(complaint)) = strictly else { return strictly };
    let warning = damage::judge(&complaint, header)?;
    let image = load::with_vips(source.file, source.kind, 0, by, false)?;
    let raster = load::taken(source, &image, source.turn)?;
    Ok(Raster { warnings: vec![warning], ..raster })
}

/// All pixels at once; `None` where libvips has to look: at what is too large or has inks, and at whatever
/// libjpeg-turbo complains of.
fn at_once(source: &Source, header: &JpegHeader, by: Shrink) -> Option<DynamicImage> {
    let by = match by {
        Shrink::Whole => 1,
        Shrink::By(by) => by,
    };
    let size = Size { width: header.size.width.div_ceil(by), height: header.size.height.div_ceil(by) };
    if size.pixels() > IN_MEMORY_PIXELS_MAX {
        return None;
    }
    match header.components {
        1 => GrayImage::from_raw(size.width, size.height, samples(source.file, header, size, PixelFormat::GRAY)?)
            .map(Into::into),
        3 => RgbImage::from_raw(size.width, size.height, samples(source.file, header, size, PixelFormat::RGB)?)
            .map(Into::into),
        _ => None,
    }
}

/// Samples of a picture, which the library shrinks to the size that is asked for. It fails over what it only warns of.
fn samples(file: &[u8], header: &JpegHeader, size: Size, format: PixelFormat) -> Option<Vec<u8>> {
    let in_memory = |pixels: u32| usize::try_from(pixels).ok();
    let mut decompressor = Decompressor::new().ok()?;
    let seen = decompressor.read_header(file).ok()?;
    if (Some(seen.width), Some(seen.height)) != (in_memory(header.size.width), in_memory(header.size.height)) {
        return None;
    }
    let (width, height) = (in_memory(size.width)?, in_memory(size.height)?);
    let pitch = width * format.size();
    let mut pixels = vec![0; pitch * height];
    decompressor.decompress(file, Image { pixels: &mut pixels[..], width, pitch, height, format }).ok()?;
    Some(pixels)
}

/// Cut to what the plan shows, with what the file says beside its pixels.
fn raster(source: &Source, header: &JpegHeader, mut image: DynamicImage) -> Raster {
    let window = source.turn.stored_window(source.plan.window, source.turn.upright(source.size));
    let size = Size { width: image.width(), height: image.height() };
    if let Some(cut) = scale::window_in(size, window, source.size) {
        image = image.crop_imm(cut.left, cut.top, cut.width, cut.height);
    }
    Raster {
        image,
        space: Space::Light,
        alpha: Alpha::Opaque,
        orientation: source.turn,
        profile: header.profile.clone(),
        exif: header.exif.clone(),
        warnings: Vec::new(),
    }
}
