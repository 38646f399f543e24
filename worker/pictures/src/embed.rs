//! EXIF in files that were written without it: libvips writes none into PNG before version 8.17, and into WebP with a
//! prefix that some readers do not expect.

use caraway_picture::Fault;
use img_parts::{Bytes, ImageEXIF, png::Png, webp::WebP};

/// A PNG with the block in it.
pub(crate) fn in_png(png: Vec<u8>, exif: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
    let Some(exif) = exif else { return Ok(png) };
    let mut parts = Png::from_bytes(png.into()).map_err(|fault| failed(&fault))?;
    parts.set_exif(Some(Bytes::copy_from_slice(exif)));
    Ok(parts.encoder().bytes().to_vec())
}

/// A WebP with the block in it.
pub(crate) fn in_webp(webp: Vec<u8>, exif: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
    let Some(exif) = exif else { return Ok(webp) };
    let mut parts = WebP::from_bytes(webp.into()).map_err(|fault| failed(&fault))?;
    parts.set_exif(Some(Bytes::copy_from_slice(exif)));
    Ok(parts.encoder().bytes().to_vec())
}

fn failed(fault: &img_parts::Error) -> Fault {
    Fault::Encoding(format!("its EXIF cannot be written: {fault}"))
}
