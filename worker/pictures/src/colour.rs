//! From the picture's own numbers to sRGB, eight bits a channel.

use caraway_picture::Fault;
use image::{ColorType, DynamicImage};
use moxcms::{ColorProfile, Layout, TransformOptions};
use rs_vips::voption::{Setter, VOption};

use crate::{
    raster::{Raster, Space, from_vips, to_vips},
    srgb, vips,
};

/// What libvips has built in for inks without a profile.
const INKS: &str = "cmyk";

/// Applies the profile, unless it is to be kept and describes light. What has no profile is sRGB already.
pub(crate) fn settle(mut raster: Raster, keep_profile: bool, grayscale: bool) -> Result<Raster, Fault> {
    let was_grey = raster.space == Space::Light && !raster.image.color().has_color();
    if keep_profile && !grayscale && describes(raster.profile.as_deref(), &raster) {
        raster.image = narrow(raster.image);
        return Ok(raster);
    }
    let profile = raster.profile.take().filter(|profile| is_profile(profile) && !srgb::is_srgb(profile));
    if raster.space == Space::Inks || profile.as_ref().is_some_and(|profile| fits(profile, &raster)) {
        let quickly = profile.as_deref().and_then(|profile| from_primaries(&raster.image, profile));
        raster.image = quickly.map_or_else(|| transformed(&raster, profile.as_deref()), Ok)?;
        raster.space = Space::Light;
    }
    raster.image = narrow(raster.image);
    if was_grey && raster.image.color().has_color() {
        raster.image = grey(raster.image);
    }
    Ok(raster)
}

/// Whether this is a profile at all.
fn is_profile(profile: &[u8]) -> bool {
    profile.get(36..40) == Some(b"acsp")
}

/// Whether a profile is about channels like these. Bytes 16 to 19 of it name them.
fn fits(profile: &[u8], raster: &Raster) -> bool {
    let channels: &[u8] = match (raster.space, raster.image.color().has_color()) {
        (Space::Inks, _) => b"CMYK",
        (Space::Light, true) => b"RGB ",
        (Space::Light, false) => b"GRAY",
    };
    profile.get(16..20) == Some(channels)
}

fn describes(profile: Option<&[u8]>, raster: &Raster) -> bool {
    raster.space == Space::Light && profile.is_some_and(|profile| is_profile(profile) && fits(profile, raster))
}

/// By `moxcms`, which takes a tenth of the time where a profile is three primaries and curves; `None` where it is not.
fn from_primaries(image: &DynamicImage, profile: &[u8]) -> Option<DynamicImage> {
    let layout = match image.color() {
        ColorType::Rgb8 => Layout::Rgb,
        ColorType::Rgba8 => Layout::Rgba,
        _ => return None,
    };
    let profile = ColorProfile::new_from_slice(profile).ok().filter(ColorProfile::is_matrix_shaper)?;
    let options = TransformOptions::default();
    let transform = profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), layout, options).ok()?;
    let mut pixels = vec![0; image.as_bytes().len()];
    transform.transform(image.as_bytes(), &mut pixels).ok()?;
    let (width, height) = (image.width(), image.height());
    match image.color() {
        ColorType::Rgb8 => image::RgbImage::from_raw(width, height, pixels).map(Into::into),
        _ => image::RgbaImage::from_raw(width, height, pixels).map(Into::into),
    }
}

fn transformed(raster: &Raster, profile: Option<&[u8]>) -> Result<DynamicImage, Fault> {
    let told = |_| Fault::Corrupt(format!("its colour profile cannot be applied: {}", vips::complaint()));
    let mut image = to_vips(&raster.image, raster.space)?;
    let mut how = VOption::new().set("intent", vips::PERCEPTUAL).set("depth", 8);
    match profile.filter(|profile| fits(profile, raster)) {
        Some(profile) => {
            image.set_blob_copy("icc-profile-data", profile).map_err(told)?;
            how = how.set("embedded", true);
        }
        None => how = how.set("input_profile", INKS),
    }
    from_vips(&image.icc_transform_with_opts("srgb", how).map_err(told)?)
}

/// Sixteen bits to eight.
fn narrow(image: DynamicImage) -> DynamicImage {
    match image.color() {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => image,
        ColorType::L16 => image.into_luma8().into(),
        ColorType::La16 => image.into_luma_alpha8().into(),
        other if other.has_alpha() => image.into_rgba8().into(),
        _ => image.into_rgb8().into(),
    }
}

/// One channel of luminance, and alpha where there is one.
pub(crate) fn grey(image: DynamicImage) -> DynamicImage {
    match image.color() {
        ColorType::L8 | ColorType::La8 => image,
        other if other.has_alpha() => image.into_luma_alpha8().into(),
        _ => image.into_luma8().into(),
    }
}
