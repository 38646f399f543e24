//! The steps of a picture, in the order that touches the fewest pixels: it is decoded no larger than needed, scaled
//! before its colours are settled, and turned when it is small.

use caraway_picture::{Fault, Made, Metadata};
use image::metadata::Orientation as Turn;

use crate::{
    colour, effects, encode, exif, flatten, load,
    raster::{Raster, size_of},
    scale,
    source::Source,
};

/// Makes the picture. Errors: what only its pixels could tell, or the result's encoder.
pub(crate) fn make(source: &Source) -> Result<(Made, Vec<u8>), Fault> {
    let (options, plan) = (source.options, source.plan);
    let format = options.format.unwrap_or_else(|| source.kind.own_format());
    let keeps = options.metadata == Metadata::Keep;
    let raster = load::decode(source)?;
    let raster = scale::scale(raster, source.turn.upright(plan.scaled))?;
    let raster = colour::settle(raster, options.keep_profile, options.grayscale)?;
    let Raster { mut image, orientation, profile, exif, warnings, .. } = raster;
    if let Some(turn) = Turn::from_exif(orientation.exif()) {
        image.apply_orientation(turn);
    }
    image = effects::apply(image, options, plan.smart)?;
    if let Some(canvas) = plan.canvas {
        image = flatten::on_canvas(&image, canvas, options.background, options.gravity, format);
    }
    image = flatten::flatten(image, options.background, format);
    if options.grayscale {
        image = colour::grey(image);
    }
    let fewer = size_of(&image).pixels() < source.size.pixels() && format == source.kind.own_format();
    let written = encode::Written {
        format,
        options,
        profile: profile.filter(|_| options.keep_profile && !options.grayscale),
        exif: exif.filter(|_| keeps).and_then(|exif| exif::kept(&exif)),
        bytes_wanted: fewer.then_some(source.file.len()),
    };
    let bytes = encode::write(&image, &written)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok((Made { format, width: image.width(), height: image.height(), bytes: length, warnings }, bytes))
}
