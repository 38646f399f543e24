//! How stored pixels are turned to stand upright: the eight values of EXIF, and how areas move with them.

use crate::{Size, Window};

/// One of EXIF's eight orientations: 1 is upright, 6 is a quarter turn clockwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Orientation {
    /// Nothing is turned.
    pub const UPRIGHT: Self = Self(1);

    /// By its number in EXIF; other numbers than 1 to 8 mean upright, as viewers read them.
    pub fn from_exif(number: i32) -> Self {
        u8::try_from(number).ok().filter(|number| (1..=8).contains(number)).map_or(Self::UPRIGHT, Self)
    }

    /// Its number in EXIF, 1 to 8.
    pub const fn exif(self) -> u8 {
        self.0
    }

    /// Whether width and height change places.
    pub const fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// This orientation, and then a quarter turn clockwise.
    #[must_use]
    pub const fn then_quarter(self) -> Self {
        Self(match self.0 {
            1 => 6,
            6 => 3,
            3 => 8,
            8 => 1,
            2 => 7,
            7 => 4,
            4 => 5,
            _ => 2,
        })
    }

    /// The size that a viewer sees, of pixels that are stored as `stored`.
    pub const fn upright(self, stored: Size) -> Size {
        if self.swaps_sides() { Size { width: stored.height, height: stored.width } } else { stored }
    }

    /// Where an area of the upright picture lies among the stored pixels. `upright` is the upright picture's size.
    pub const fn stored_window(self, window: Window, upright: Size) -> Window {
        let Window { left, top, width, height } = window;
        let (right, bottom) = (upright.width - left - width, upright.height - top - height);
        let (left, top) = match self.0 {
            1 => (left, top),
            2 => (right, top),
            3 => (right, bottom),
            4 => (left, bottom),
            5 => (top, left),
            6 => (top, right),
            7 => (bottom, right),
            _ => (bottom, left),
        };
        let (width, height) = if self.swaps_sides() { (height, width) } else { (width, height) };
        Window { left, top, width, height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_quarters_are_nothing() {
        for number in 1..=8 {
            let start = Orientation::from_exif(number);
            let mut turned = start;
            for _ in 0..4 {
                turned = turned.then_quarter();
            }
            assert_eq!(turned, start);
            assert_ne!(start.then_quarter().swaps_sides(), start.swaps_sides());
        }
        assert_eq!(Orientation::from_exif(9), Orientation::UPRIGHT);
    }

    #[test]
    fn windows_stay_inside_and_keep_their_corner() {
        let upright = Size { width: 30, height: 20 };
        let window = Window { left: 0, top: 0, width: 10, height: 5 };
        let corners = [(0, 0), (20, 0), (20, 15), (0, 15), (0, 0), (0, 20), (15, 20), (15, 0)];
        for (number, corner) in (1..).zip(corners) {
            let stored = Orientation::from_exif(number).stored_window(window, upright);
            assert_eq!((stored.left, stored.top), corner, "orientation {number}");
        }
    }
}
