//! What lies behind transparent pixels, and around a picture that is smaller than its canvas.

use caraway_picture::{Background, Format, Gravity, Size};
use image::{DynamicImage, RgbImage, RgbaImage, imageops};

const WHITE: [u8; 3] = [255; 3];

/// Lays the picture on a canvas, in the corner, on the side or in the middle that gravity names.
pub(crate) fn on_canvas(
    image: &DynamicImage,
    canvas: Size,
    background: Option<Background>,
    gravity: Gravity,
    format: Format,
) -> DynamicImage {
    let [red, green, blue] = background.map_or(WHITE, |background| background.rgb);
    let clear = if format.has_alpha() { 0 } else { 255 };
    let alpha = background.map_or(clear, |background| background.alpha);
    let mut laid = RgbaImage::from_pixel(canvas.width, canvas.height, image::Rgba([red, green, blue, alpha]));
    let (right, down) = gravity.halves();
    let left = canvas.width.saturating_sub(image.width()) * right / 2;
    let top = canvas.height.saturating_sub(image.height()) * down / 2;
    let image = image.to_rgba8();
    if alpha == 255 {
        imageops::overlay(&mut laid, &image, left.into(), top.into());
    } else {
        imageops::replace(&mut laid, &image, left.into(), top.into());
    }
    if laid.pixels().all(|pixel| pixel.0[3] == 255) { DynamicImage::from(laid).into_rgb8().into() } else { laid.into() }
}

/// Takes transparency away: where the format has none, and where a background is asked for.
pub(crate) fn flatten(image: DynamicImage, background: Option<Background>, format: Format) -> DynamicImage {
    let opaque = background.filter(|background| background.alpha == 255);
    if !image.color().has_alpha() || (format.has_alpha() && opaque.is_none()) {
        return image;
    }
    let behind = background.map_or(WHITE, |background| background.rgb);
    let grey = image.color() == image::ColorType::La8 && behind.iter().all(|value| Some(value) == behind.first());
    let laid = on(&image.into_rgba8(), behind);
    if grey { DynamicImage::from(laid).into_luma8().into() } else { laid.into() }
}

fn on(image: &RgbaImage, behind: [u8; 3]) -> RgbImage {
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0;
        let [under_red, under_green, under_blue] = behind;
        to.0 = [mixed(red, under_red, alpha), mixed(green, under_green, alpha), mixed(blue, under_blue, alpha)];
    }
    flat
}

/// `value` at `alpha` over `under`, rounded.
fn mixed(value: u8, under: u8, alpha: u8) -> u8 {
    let (value, under, alpha) = (u16::from(value), u16::from(under), u16::from(alpha));
    u8::try_from((value * alpha + under * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
}
