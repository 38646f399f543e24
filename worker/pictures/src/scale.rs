//! Lanczos to the size that the plan has: in memory, or on the way there where a picture is too large for that.

use caraway_picture::{Fault, Size, Window};
use fast_image_resize::{MulDiv, ResizeOptions, Resizer};
use image::DynamicImage;
use rs_vips::{
    VipsImage,
    voption::{Setter, VOption},
};

use crate::{
    raster::{Alpha, Raster, size_in_vips, size_of},
    vips,
};

/// Scales to `target`, at the depth that the picture has.
///
/// Transparent pixels must not bleed their colour into the visible ones, so the colours are multiplied with alpha while
/// they are mixed.
pub(crate) fn scale(mut raster: Raster, target: Size) -> Result<Raster, Fault> {
    let failed = |fault: &dyn std::error::Error| Fault::Encoding(format!("resizing failed: {fault}"));
    let same = size_of(&raster.image) == target;
    let multiplication = MulDiv::new();
    if raster.alpha == Alpha::Straight && !same {
        multiplication.multiply_alpha_inplace(&mut raster.image).map_err(|fault| failed(&fault))?;
        raster.alpha = Alpha::Premultiplied;
    }
    if !same {
        let mut scaled = DynamicImage::new(target.width, target.height, raster.image.color());
        let how = ResizeOptions::new().use_alpha(false);
        Resizer::new().resize(&raster.image, &mut scaled, &how).map_err(|fault| failed(&fault))?;
        raster.image = scaled;
    }
    if raster.alpha == Alpha::Premultiplied {
        multiplication.divide_alpha_inplace(&mut raster.image).map_err(|fault| failed(&fault))?;
        raster.alpha = Alpha::Straight;
    }
    Ok(raster)
}

/// The same while libvips decodes, so that no more than some lines of the original are in memory. Alpha stays as it is.
pub(crate) fn in_vips(image: &VipsImage, target: Size, alpha: Alpha) -> Result<VipsImage, Fault> {
    let told = |_| vips::undecodable();
    let size = size_in_vips(image);
    let factor = |to: u32, from: u32| f64::from(to) / f64::from(from.max(1));
    let how = VOption::new().set("kernel", vips::LANCZOS3).set("vscale", factor(target.height, size.height));
    let across = factor(target.width, size.width);
    if alpha != Alpha::Straight {
        return image.resize_with_opts(across, how).map_err(told);
    }
    let format = image.get_format().map_err(told)?;
    let mixed = image.premultiply().and_then(|image| image.resize_with_opts(across, how));
    mixed.and_then(|image| image.unpremultiply()?.cast(format)).map_err(told)
}

/// Cuts a window, which is told in pixels of the whole picture, out of what may be decoded smaller.
pub(crate) fn window_in_vips(image: &VipsImage, window: Window, whole: Size) -> Result<VipsImage, Fault> {
    let Some(cut) = window_in(size_in_vips(image), window, whole) else { return Ok(image.clone()) };
    let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let cut = image.extract_area(side(cut.left), side(cut.top), side(cut.width), side(cut.height));
    cut.map_err(|_| vips::undecodable())
}

/// A window in the pixels of a picture that may be decoded smaller than its whole; `None` where it is all of it.
pub(crate) fn window_in(size: Size, window: Window, whole: Size) -> Option<Window> {
    if (window.width, window.height) == (whole.width, whole.height) {
        return None;
    }
    let across = |pixels: u32| share(pixels, size.width, whole.width);
    let down = |pixels: u32| share(pixels, size.height, whole.height);
    let left = across(window.left).min(size.width.saturating_sub(1));
    let top = down(window.top).min(size.height.saturating_sub(1));
    let width = across(window.width).clamp(1, size.width - left);
    let height = down(window.height).clamp(1, size.height - top);
    Some(Window { left, top, width, height })
}

/// `pixels * part / whole`, rounded.
fn share(pixels: u32, part: u32, whole: u32) -> u32 {
    let whole = u64::from(whole.max(1));
    u32::try_from((u64::from(pixels) * u64::from(part) + whole / 2) / whole).unwrap_or(u32::MAX)
}
