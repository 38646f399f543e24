//! The arithmetic of sizes: how large the result is, and what is too large.
//!
//! In whole numbers, so that the same request gives the same size everywhere, and no side is 0.

use image::DynamicImage;

use super::{Fit, Options, PictureFault};

/// Longest side of anything read or written.
pub(super) const SIDE_MAX: u32 = 8192;
/// Most pixels of anything read or written.
pub(super) const PIXELS_MAX: u64 = 40_000_000;
/// The longer side of a picture for which no size was asked.
const THUMBNAIL_SIDE: u32 = 256;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The size to scale to, and whether what does not fit its ratio is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) size: Size,
    pub(super) crop: bool,
}

impl Size {
    pub(super) fn of(image: &DynamicImage) -> Self {
        Self { width: image.width(), height: image.height() }
    }

    pub(super) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    pub(super) fn transposed(self) -> Self {
        Self { width: self.height, height: self.width }
    }

    /// Whether the limits allow it.
    pub(super) fn is_allowed(self) -> bool {
        self.width <= SIDE_MAX && self.height <= SIDE_MAX && self.pixels() <= PIXELS_MAX
    }

    fn to_width(self, width: u32) -> Self {
        Self { width, height: scaled(self.height, width, self.width) }
    }

    fn to_height(self, height: u32) -> Self {
        Self { width: scaled(self.width, height, self.height), height }
    }

    /// The largest size of this ratio inside a box; it touches the box on one axis at least.
    fn inside(self, frame: Self) -> Self {
        let self_is_wider =
            u64::from(self.width) * u64::from(frame.height) >= u64::from(self.height) * u64::from(frame.width);
        if self_is_wider { self.to_width(frame.width) } else { self.to_height(frame.height) }
    }
}

impl Target {
    pub(super) fn transposed(self) -> Self {
        Self { size: self.size.transposed(), crop: self.crop }
    }
}

/// What `options` ask of an upright picture of size `source`, no side of which is 0.
pub(super) fn target(source: Size, options: &Options) -> Result<Target, PictureFault> {
    let (size, crop) = match (options.width, options.height) {
        (None, None) if source.width.max(source.height) <= THUMBNAIL_SIDE => (source, false),
        (None, None) => (source.inside(Size { width: THUMBNAIL_SIDE, height: THUMBNAIL_SIDE }), false),
        (Some(width), None) => (source.to_width(width), false),
        (None, Some(height)) => (source.to_height(height), false),
        (Some(width), Some(height)) => match options.fit {
            Fit::Contain => (source.inside(Size { width, height }), false),
            Fit::Cover => (Size { width, height }, true),
            Fit::Fill => (Size { width, height }, false),
        },
    };
    if size.is_allowed() {
        return Ok(Target { size, crop });
    }
    Err(PictureFault::InvalidOptions(format!(
        "the result would be {} x {}, beyond {SIDE_MAX} pixels a side or 40 megapixels",
        size.width, size.height
    )))
}

/// `side * new / old`, rounded to the nearest, at least 1.
fn scaled(side: u32, new: u32, old: u32) -> u32 {
    let exact = u64::from(side) * u64::from(new);
    let rounded = (exact + u64::from(old) / 2) / u64::from(old);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}
