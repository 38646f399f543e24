//! What may be asked for, in the words of sharp, imgproxy and Thumbor.

use serde::{Deserialize, Serialize};

use crate::{Fault, SIDE_MAX};

/// What is asked for. `Options::default()` is a thumbnail in the picture's own format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that people know by its name")]
pub struct Options {
    /// Width of the result, 1 to 8192. Alone, the height follows from the ratio.
    pub width: Option<u32>,
    /// Height of the result, 1 to 8192. Alone, the width follows from the ratio.
    ///
    /// With neither, the longer side becomes 256 pixels, and a smaller picture keeps its size.
    pub height: Option<u32>,
    /// How the picture meets a box of both width and height; without the two it says nothing.
    pub fit: Fit,
    /// Which part stays where `cover` cuts, and where the picture lies on the canvas of `contain`.
    pub gravity: Gravity,
    /// A picture is never made larger than it is.
    pub without_enlargement: bool,
    /// What lies behind transparent pixels where the result has no transparency, and in the bars of `contain`.
    pub background: Option<Background>,
    /// A turn clockwise, after the picture's own orientation.
    pub rotate: Rotation,
    /// Gaussian blur: its sigma in pixels of the result, 0.3 to 100.
    pub blur: Option<f64>,
    /// Sharpening: its sigma in pixels of the result, 0.3 to 10.
    pub sharpen: Option<f64>,
    /// The page of a TIFF, or the frame of an animation, from 0.
    pub page: u32,
    /// Format of the result; by default the picture's own, or PNG where that is not written here.
    pub format: Option<Format>,
    /// 1 to 100, by default 80, and 50 for AVIF. PNG and lossless WebP have none and ignore it.
    pub quality: Option<u8>,
    /// WebP without loss.
    pub lossless: bool,
    /// JPEG and PNG that are shown coarsely first.
    pub progressive: bool,
    /// One channel of luminance.
    pub grayscale: bool,
    /// The colours stay in the picture's own profile, which comes along; else they become sRGB.
    pub keep_profile: bool,
    /// Whether the picture's EXIF comes along.
    pub metadata: Metadata,
}

/// How a picture meets a box of another ratio: whole inside, whole around, cut, on a canvas, or stretched.
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// As large as goes inside the box, ratio kept.
    #[default]
    Inside,
    /// As small as covers the box, ratio kept; nothing is cut off.
    Outside,
    /// The whole box, ratio kept; what sticks out is cut off.
    Cover,
    /// As large as goes inside, on a canvas of the whole box.
    Contain,
    /// The whole box, stretched.
    Fill,
}

/// Which part stays where `cover` cuts: a direction, or `smart`, which finds the most interesting one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "points of the compass")]
pub enum Gravity {
    #[default]
    #[serde(alias = "centre")]
    Center,
    North,
    Northeast,
    East,
    Southeast,
    South,
    Southwest,
    West,
    Northwest,
    /// Where edges, skin and strong colours are; for `cover` only, elsewhere it is the centre.
    Smart,
}

impl Gravity {
    /// How many halves of the room lie left of the picture, and above it: 0, 1 or 2.
    pub const fn halves(self) -> (u32, u32) {
        match self {
            Self::Center | Self::Smart => (1, 1),
            Self::North => (1, 0),
            Self::Northeast => (2, 0),
            Self::East => (2, 1),
            Self::Southeast => (2, 2),
            Self::South => (1, 2),
            Self::Southwest => (0, 2),
            Self::West => (0, 1),
            Self::Northwest => (0, 0),
        }
    }
}

/// A turn clockwise, in degrees: 0, 90, 180 or 270.
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "utoipa", schema(as = Rotate, value_type = u16, minimum = 0, maximum = 270, multiple_of = 90))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Rotation(u16);

impl Rotation {
    /// How many quarter turns that are, 0 to 3.
    pub const fn quarters(self) -> u16 {
        self.0 / 90
    }
}

impl TryFrom<u16> for Rotation {
    type Error = &'static str;

    fn try_from(degrees: u16) -> Result<Self, Self::Error> {
        if matches!(degrees, 0 | 90 | 180 | 270) { Ok(Self(degrees)) } else { Err("rotate must be 0, 90, 180 or 270") }
    }
}

impl From<Rotation> for u16 {
    fn from(rotation: Rotation) -> Self {
        rotation.0
    }
}

/// A colour of eight bits a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Background {
    /// Red, green, blue.
    pub rgb: [u8; 3],
    /// 0 is transparent, 255 is opaque.
    pub alpha: u8,
}

impl TryFrom<String> for Background {
    type Error = &'static str;

    /// From `#rgb`, `#rrggbb` or `#rrggbbaa`; the `#` may be left out.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "background must be a colour such as #ffffff or #ffffff80";
        let digits = text.strip_prefix('#').unwrap_or(&text);
        let values: Option<Vec<u8>> =
            digits.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let (rgb, alpha) = match values.ok_or(WRONG)?[..] {
            [r, g, b] => ([r * 17, g * 17, b * 17], 255),
            [r, r2, g, g2, b, b2] => ([r * 16 + r2, g * 16 + g2, b * 16 + b2], 255),
            [r, r2, g, g2, b, b2, a, a2] => ([r * 16 + r2, g * 16 + g2, b * 16 + b2], a * 16 + a2),
            _ => return Err(WRONG),
        };
        Ok(Self { rgb, alpha })
    }
}

impl From<Background> for String {
    fn from(Background { rgb: [r, g, b], alpha }: Background) -> Self {
        format!("#{r:02x}{g:02x}{b:02x}{alpha:02x}")
    }
}

/// A format that is written; `jpg` is `jpeg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say all")]
pub enum Format {
    #[serde(alias = "jpg")]
    Jpeg,
    Png,
    Webp,
    Avif,
}

impl Format {
    /// The content type under which a result is stored.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
        }
    }

    /// Whether a pixel may be transparent.
    pub const fn has_alpha(self) -> bool {
        !matches!(self, Self::Jpeg)
    }
}

/// Whether camera, lens, exposure, time and author come along; never where the picture was taken.
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metadata {
    /// Nothing.
    #[default]
    None,
    /// What EXIF says of them.
    Keep,
}

impl Options {
    /// Checks what can be checked without the picture.
    pub fn check(&self) -> Result<(), Fault> {
        let wrong = |told: String| Err(Fault::InvalidOptions(told));
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side.is_some_and(|side| !(1..=SIDE_MAX).contains(&side)) {
                return wrong(format!("{name} must be 1 to {SIDE_MAX}"));
            }
        }
        if self.quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
            return wrong("quality must be 1 to 100".to_owned());
        }
        if self.blur.is_some_and(|sigma| !(0.3..=100.0).contains(&sigma)) {
            return wrong("blur must be 0.3 to 100".to_owned());
        }
        if self.sharpen.is_some_and(|sigma| !(0.3..=10.0).contains(&sigma)) {
            return wrong("sharpen must be 0.3 to 10".to_owned());
        }
        if self.page > 9_999 {
            return wrong("page must be 0 to 9999".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range() {
        for json in [
            r#"{"width":0}"#,
            r#"{"height":8193}"#,
            r#"{"quality":0}"#,
            r#"{"quality":101}"#,
            r#"{"blur":0.1}"#,
            r#"{"sharpen":11}"#,
            r#"{"page":10000}"#,
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            assert_eq!(options.check().unwrap_err().code(), "invalid_options", "{json}");
        }
        for json in [
            r#"{"widht":1}"#,
            r#"{"fit":"Cover"}"#,
            r#"{"format":"gif"}"#,
            r#"{"rotate":45}"#,
            r#"{"background":"white"}"#,
            r#"{"background":"12345"}"#,
        ] {
            assert!(serde_json::from_str::<Options>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn colours_have_three_spellings() {
        let read = |text: &str| Background::try_from(text.to_owned()).unwrap();
        assert_eq!(read("#f80"), read("ff8800"));
        assert_eq!(read("#ff880080"), Background { rgb: [255, 136, 0], alpha: 128 });
    }
}
