//! How much memory a picture takes, by its header. It is asked for before decoding, and is the bound while it lasts.

use caraway_picture::{Coding, Size};

use crate::{
    load::{self, Shrink},
    source::{Header, Source},
};

/// Buffers of a decoder and of an encoder that do not depend on the picture.
const FIXED_MEBIBYTES: u64 = 32;

/// Mebibytes that decoding, scaling and encoding take together, at the most.
pub(crate) fn mebibytes(source: &Source) -> u32 {
    let bytes = decoding(source) + raster(source) + result(source);
    u32::try_from(bytes / (1 << 20) + FIXED_MEBIBYTES).unwrap_or(u32::MAX)
}

/// What the decoder holds besides its result.
fn decoding(source: &Source) -> u64 {
    let pixels = source.size.pixels();
    match &source.header {
        Header::Jpeg(header) => match header.coding {
            // some lines
            Coding::Sequential => u64::from(source.size.width) * 256,
            // a coefficient of two bytes for each pixel of each component, if all are stored as finely
            Coding::Buffered => pixels * u64::from(header.components) * 2,
        },
        // a file may be one strip
        Header::Tiff(_, _, image) => pixels * bytes_per_pixel(image),
        // planes or a canvas of the decoder, and the pixels made of them
        Header::Vips(_) => pixels * 8,
        Header::Rust(header) if load::in_rust(source.size) => pixels * header.bytes_per_pixel,
        // an interlaced one is held as a whole
        Header::Rust(header) => pixels * if header.interlaced { header.bytes_per_pixel } else { 0 },
    }
}

/// The pixels that scaling begins with, and a copy of them.
fn raster(source: &Source) -> u64 {
    let size = match &source.header {
        Header::Jpeg(..) => shrunk(source),
        _ => source.size,
    };
    size.pixels().min(load::IN_MEMORY_PIXELS_MAX) * 8
}

fn shrunk(source: &Source) -> Size {
    let Shrink::By(by) = load::shrink(source) else { return source.size };
    Size { width: source.size.width.div_ceil(by), height: source.size.height.div_ceil(by) }
}

/// The result at some stages, and what an encoder makes of it.
fn result(source: &Source) -> u64 {
    let canvas = source.plan.canvas.map_or(0, Size::pixels);
    source.plan.scaled.pixels().max(canvas) * 4 * 4
}

fn bytes_per_pixel(image: &rs_vips::VipsImage) -> u64 {
    use rs_vips::enums::BandFormat;
    let bytes = match image.get_format() {
        Ok(BandFormat::Uchar | BandFormat::Char) => 1,
        Ok(BandFormat::Ushort | BandFormat::Short) => 2,
        Ok(BandFormat::Float | BandFormat::Int | BandFormat::Uint) => 4,
        _ => 16,
    };
    u64::try_from(image.get_bands()).unwrap_or(4) * bytes
}
