//! What libvips does to the small picture: the choice of a part, blur, sharpening.

use caraway_picture::{Fault, Options, Size};
use image::DynamicImage;
use rs_vips::VipsImage;
use rs_vips::voption::{Setter, VOption};

use crate::{
    raster::{Space, from_vips, to_vips},
    vips,
};

/// Cuts to the part that draws the eye, then blurs, then sharpens, as far as it is asked for.
pub(crate) fn apply(image: DynamicImage, options: &Options, smart: Option<Size>) -> Result<DynamicImage, Fault> {
    if smart.is_none() && options.blur.is_none() && options.sharpen.is_none() {
        return Ok(image);
    }
    let told = |_| vips::unwritable();
    let mut made = to_vips(&image, Space::Light)?;
    if let Some(Size { width, height }) = smart {
        let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        made = made.smartcrop(side(width), side(height)).map_err(told)?;
    }
    if let Some(sigma) = options.blur {
        made = blurred(&made, sigma, image.color().has_alpha())?;
    }
    if let Some(sigma) = options.sharpen {
        made = made.sharpen_with_opts(VOption::new().set("sigma", sigma)).map_err(told)?;
    }
    from_vips(&made)
}

/// Colours of transparent pixels must not bleed into the visible ones.
fn blurred(image: &VipsImage, sigma: f64, alpha: bool) -> Result<VipsImage, Fault> {
    let told = |_| vips::unwritable();
    if !alpha {
        return image.gaussblur(sigma).map_err(told);
    }
    let format = image.get_format().map_err(told)?;
    image.premultiply().and_then(|image| image.gaussblur(sigma)?.unpremultiply()?.cast(format)).map_err(told)
}
