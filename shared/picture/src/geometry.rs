//! Which part of a picture is shown, and how large it becomes: whole numbers in, whole numbers out.

use crate::{Fault, Fit, Gravity, Options};

/// Most pixels of a result's side.
pub const SIDE_MAX: u32 = 8192;
/// The longer side of a thumbnail where no size is asked for.
const THUMBNAIL_SIDE: u32 = 256;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// A part of a picture, in its own pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels left of it.
    pub left: u32,
    /// Pixels above it.
    pub top: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// What becomes of an upright picture, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The part that is shown; the rest is cut off.
    pub window: Window,
    /// The size to which that part is scaled.
    pub scaled: Size,
    /// Where the picture itself decides which part of the scaled one stays: that part's size.
    pub smart: Option<Size>,
    /// The canvas on which it is laid, where that is larger.
    pub canvas: Option<Size>,
}

impl Size {
    /// How many pixels that are.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    const fn whole(self) -> Window {
        Window { left: 0, top: 0, width: self.width, height: self.height }
    }

    fn at_most(self, other: Self) -> Self {
        Self { width: self.width.min(other.width), height: self.height.min(other.height) }
    }
}

/// What the options make of an upright picture of this size. Errors: a result of more than [`SIDE_MAX`] a side.
pub fn plan(source: Size, options: &Options) -> Result<Plan, Fault> {
    let planned = match (options.width, options.height) {
        (Some(width), Some(height)) => boxed(source, Size { width, height }, options),
        (None, None) => {
            let longer = source.width.max(source.height).max(1);
            scaled(source, THUMBNAIL_SIDE.min(longer), longer)
        }
        (Some(width), None) => scaled(source, limited(width, source.width, options), source.width),
        (None, Some(height)) => scaled(source, limited(height, source.height, options), source.height),
    };
    let largest = [Some(planned.scaled), planned.canvas].into_iter().flatten();
    if largest.into_iter().any(|size| size.width.max(size.height) > SIDE_MAX) {
        let size = planned.scaled;
        let told =
            format!("the result would have {} x {} pixels; a side has at most {SIDE_MAX}", size.width, size.height);
        return Err(Fault::InvalidOptions(told));
    }
    Ok(planned)
}

fn limited(asked: u32, source: u32, options: &Options) -> u32 {
    if options.without_enlargement { asked.min(source) } else { asked }
}

/// The whole picture, times `numerator / denominator`.
fn scaled(source: Size, numerator: u32, denominator: u32) -> Plan {
    let side = |side: u32| ratio(side, numerator, denominator);
    Plan {
        window: source.whole(),
        scaled: Size { width: side(source.width), height: side(source.height) },
        smart: None,
        canvas: None,
    }
}

/// `side * numerator / denominator`, rounded, and at least 1.
fn ratio(side: u32, numerator: u32, denominator: u32) -> u32 {
    let (side, numerator, denominator) = (u64::from(side), u64::from(numerator), u64::from(denominator.max(1)));
    u32::try_from((side * numerator + denominator / 2) / denominator).unwrap_or(u32::MAX).max(1)
}

/// A picture meets a box of both sides.
fn boxed(source: Size, asked: Size, options: &Options) -> Plan {
    // Compared as products, because a quotient would round: whether the width is what limits.
    let wide = u64::from(asked.width) * u64::from(source.height) <= u64::from(asked.height) * u64::from(source.width);
    let enlarges = |by_width: bool| {
        if by_width { asked.width > source.width } else { asked.height > source.height }
    };
    let by = |by_width: bool| {
        if options.without_enlargement && enlarges(by_width) {
            scaled(source, 1, 1)
        } else if by_width {
            scaled(source, asked.width, source.width)
        } else {
            scaled(source, asked.height, source.height)
        }
    };
    match options.fit {
        Fit::Fill => {
            let size = if options.without_enlargement { asked.at_most(source) } else { asked };
            Plan { scaled: size, ..by(wide) }
        }
        Fit::Inside => by(wide),
        Fit::Outside => by(!wide),
        Fit::Contain => Plan { canvas: Some(asked), ..by(wide) },
        Fit::Cover => cover(source, asked, &by(!wide), options.gravity),
    }
}

/// The whole box; what sticks out is cut off, by default on both sides alike.
fn cover(source: Size, asked: Size, whole: &Plan, gravity: Gravity) -> Plan {
    let kept = asked.at_most(whole.scaled);
    if gravity == Gravity::Smart {
        return Plan { smart: (kept != whole.scaled).then_some(kept), ..*whole };
    }
    let width = ratio(source.width, kept.width, whole.scaled.width).min(source.width);
    let height = ratio(source.height, kept.height, whole.scaled.height).min(source.height);
    let (right, down) = gravity.halves();
    let left = (source.width - width) * right / 2;
    let top = (source.height - height) * down / 2;
    Plan { window: Window { left, top, width, height }, scaled: kept, smart: None, canvas: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(source: (u32, u32), json: &str) -> Plan {
        let options = serde_json::from_str(json).unwrap();
        plan(Size { width: source.0, height: source.1 }, &options).unwrap()
    }

    #[test]
    fn sizes_follow_the_options() {
        for (source, json, size) in [
            ((300, 100), "{}", (256, 85)),
            ((30, 20), "{}", (30, 20)),
            ((300, 100), r#"{"width":150}"#, (150, 50)),
            ((300, 100), r#"{"height":200}"#, (600, 200)),
            ((300, 100), r#"{"height":200,"without_enlargement":true}"#, (300, 100)),
            ((300, 100), r#"{"width":90,"height":90}"#, (90, 30)),
            ((300, 100), r#"{"width":900,"height":900}"#, (900, 300)),
            ((300, 100), r#"{"width":90,"height":10}"#, (30, 10)),
            ((300, 100), r#"{"width":90,"height":90,"fit":"outside"}"#, (270, 90)),
            ((300, 100), r#"{"width":90,"height":90,"fit":"cover"}"#, (90, 90)),
            ((300, 100), r#"{"width":400,"height":90,"fit":"cover","without_enlargement":true}"#, (300, 90)),
            ((300, 100), r#"{"width":90,"height":90,"fit":"fill"}"#, (90, 90)),
            ((300, 100), r#"{"width":8192}"#, (8192, 2731)),
            ((1, 8192), "{}", (1, 256)),
            ((1, 8192), r#"{"width":50,"height":50,"fit":"cover"}"#, (50, 50)),
        ] {
            let scaled = planned(source, json).scaled;
            assert_eq!((scaled.width, scaled.height), size, "{source:?} {json}");
        }
        let line = Size { width: 1, height: 8192 };
        let options = serde_json::from_str(r#"{"width":2}"#).unwrap();
        assert_eq!(plan(line, &options).unwrap_err().code(), "invalid_options");
    }

    #[test]
    fn cover_cuts_where_gravity_says() {
        let left = |gravity: &str| {
            planned((300, 100), &format!(r#"{{"width":90,"height":90,"fit":"cover","gravity":"{gravity}"}}"#))
                .window
                .left
        };
        assert_eq!([left("west"), left("center"), left("northeast")], [0, 100, 200]);
        let smart = planned((300, 100), r#"{"width":90,"height":90,"fit":"cover","gravity":"smart"}"#);
        assert_eq!((smart.scaled.width, smart.smart), (270, Some(Size { width: 90, height: 90 })));
    }

    #[test]
    fn contain_has_bars() {
        let plan = planned((300, 100), r#"{"width":90,"height":90,"fit":"contain"}"#);
        assert_eq!((plan.scaled.height, plan.canvas), (30, Some(Size { width: 90, height: 90 })));
    }
}
