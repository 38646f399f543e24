//! Throughput over time as an SVG picture: accepted and ended tasks a second, with the faults marked.

use std::fmt::Write as _;

use crate::{outcome::Outcome, samples::Sample};

const HEIGHT: f64 = 240.0;
/// Names of marks stand in so many lines, so that neighbours do not cover each other.
const LINES: u8 = 4;
const LINE: f64 = 13.0;
const TOP: f64 = 70.0;
const LEFT: f64 = 50.0;
/// Of a second.
const SECOND: f64 = 4.0;
/// Tasks a second at the top.
const RATE_MAX: f64 = 200.0;

/// All drills, one after the other.
pub(crate) fn chart(outcomes: &[Outcome]) -> String {
    let mut body = String::new();
    let mut x = LEFT;
    for outcome in outcomes {
        let (Some(first), Some(last)) = (outcome.samples.first(), outcome.samples.last()) else { continue };
        let at = |ms: u64| x + seconds(first.at_ms, ms) * SECOND;
        for (mark, line) in outcome.marks.iter().zip((0..LINES).cycle()) {
            let (from, to) = (at(mark.from_ms), at(mark.to_ms));
            let _ = write!(
                body,
                r##"<rect x="{from:.1}" y="{TOP}" width="{:.1}" height="{HEIGHT}" fill="#e5533d" fill-opacity="0.25"/><text x="{from:.1}" y="{:.1}">{}</text>"##,
                (to - from).max(1.0),
                TOP - 6.0 - f64::from(line) * LINE,
                mark.name
            );
        }
        for (rates, colour) in [(accepted(&outcome.samples), "#2563a8"), (ended(&outcome.samples), "#2f855a")] {
            let points: Vec<String> =
                rates.iter().map(|(ms, rate)| format!("{:.1},{:.1}", at(*ms), y(*rate))).collect();
            let _ = write!(body, r#"<polyline fill="none" stroke="{colour}" points="{}"/>"#, points.join(" "));
        }
        x = at(last.at_ms) + 12.0;
    }
    let (width, bottom) = (x + 20.0, TOP + HEIGHT);
    let mut axis = String::new();
    for rate in [0.0, 50.0, 100.0, 150.0, 200.0] {
        let at = y(rate);
        let _ = write!(
            axis,
            r##"<line x1="{LEFT}" x2="{width}" y1="{at}" y2="{at}" stroke="#ddd"/><text x="8" y="{at}">{rate}</text>"##
        );
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{:.0}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>{axis}{body}<text x="{LEFT}" y="{:.0}">tasks a second: <tspan fill="#2563a8">accepted</tspan>, <tspan fill="#2f855a">ended</tspan>; red: a fault, until it was healed; {SECOND} pixels a second</text></svg>"##,
        bottom + 40.0,
        bottom + 24.0
    )
}

fn y(rate: f64) -> f64 {
    TOP + HEIGHT - rate.clamp(0.0, RATE_MAX) / RATE_MAX * HEIGHT
}

fn seconds(from_ms: u64, to_ms: u64) -> f64 {
    f64::from(u32::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(u32::MAX)) / 1000.0
}

fn accepted(samples: &[Sample]) -> Vec<(u64, f64)> {
    rates(samples.iter().map(|sample| (sample.at_ms, sample.accepted)))
}

/// Nothing is drawn for the time in which nobody could count.
fn ended(samples: &[Sample]) -> Vec<(u64, f64)> {
    let known = samples.iter().filter_map(|sample| Some((sample.at_ms, u64::try_from(sample.finished?).ok()?)));
    rates(known)
}

/// Of a rising count, a second.
fn rates(counts: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, f64)> {
    let counts: Vec<(u64, u64)> = counts.collect();
    let pairs = counts.iter().zip(counts.iter().skip(2)); // over a second, for a calmer line
    let rate = |((from, before), (to, after)): (&(u64, u64), &(u64, u64))| {
        let more = f64::from(u32::try_from(after.saturating_sub(*before)).unwrap_or(u32::MAX));
        (*to, more / seconds(*from, *to).max(0.001))
    };
    pairs.map(rate).collect()
}
