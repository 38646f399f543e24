//! Ranges of a content (RFC 9110, section 14): one range of bytes. Several at once are answered as if none was asked for,
//! which is always allowed, and so is what cannot be read.

use actix_web::{
    HttpRequest,
    http::header::{self, EntityTag},
};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder,
        path::{Parameter, ParameterIn},
    },
};

use crate::{
    openapi::parameter,
    problem::{Code, Problem},
};

/// The headers that ask for a part, for the OpenAPI document.
pub(crate) struct RangeHeaders;

impl IntoParams for RangeHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let range = "One range of bytes: `bytes=0-99`, `bytes=100-`, or `bytes=-100` for the last hundred. Anything else is passed over, \
                     and the answer is the whole.";
        let if_range =
            "The `ETag` of the content that the range is of: if the content is another, the answer is the whole.";
        vec![
            parameter::header("Range", range, "bytes=0-99", ObjectBuilder::new()),
            parameter::header("If-Range", if_range, "\"3f79bb7b435b05321651daefd374cdc6\"", ObjectBuilder::new()),
        ]
    }
}

/// A part of a content: its first byte, and the first one after it. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The part that is asked for; `None` where it is the whole. A problem where the content has no such part.
pub(super) fn asked(request: &HttpRequest, tag: &EntityTag, bytes: i64) -> Result<Option<Part>, Problem> {
    let headers = request.headers();
    // a date is no tag: contents have none, so it never matches
    let same = headers.get(header::IF_RANGE).is_none_or(|theirs| theirs.as_bytes() == tag.to_string().as_bytes());
    let ranges = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).filter(|_| same);
    match ranges.and_then(read) {
        None => Ok(None),
        Some(range) => range.of(bytes).map(Some).ok_or_else(|| {
            Problem::new(
                Code::RangeNotSatisfiable,
                format!("the content has {bytes} bytes, and none of them is in this range"),
            )
            .with("bytes", bytes)
        }),
    }
}

/// As it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Range {
    /// From this byte to that one, or to the end.
    From(i64, Option<i64>),
    /// So many at the end.
    Last(i64),
}

fn read(header: &str) -> Option<Range> {
    let (unit, set) = header.split_once('=')?;
    let (first, last) = set.trim().split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes"))?;
    match (first.is_empty(), last.is_empty()) {
        (true, true) => None,
        (true, false) => Some(Range::Last(number(last)?)),
        (false, true) => Some(Range::From(number(first)?, None)),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Range::From(first, Some(last)))
        }
    }
}

/// Digits only; more than there are bytes in the world is as good as the greatest number.
fn number(digits: &str) -> Option<i64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().unwrap_or(i64::MAX))
}

impl Range {
    fn of(self, bytes: i64) -> Option<Part> {
        let part = match self {
            Self::From(from, last) => Part { from, to: last.map_or(bytes, |last| last.saturating_add(1).min(bytes)) },
            Self::Last(count) => Part { from: bytes.saturating_sub(count).max(0), to: bytes },
        };
        (part.from < part.to).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::option_option, reason = "no range, a range of nothing, and a part are three answers")]
    fn part(header: &str) -> Option<Option<(i64, i64)>> {
        read(header).map(|range| range.of(100).map(|part| (part.from, part.to)))
    }

    #[test]
    fn one_range_of_bytes() {
        for (header, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-99", 0, 100),
            ("bytes=10-19", 10, 20),
            ("bytes=99-", 99, 100),
            ("bytes=90-1000", 90, 100),
            ("bytes=-1", 99, 100),
            ("bytes=-1000", 0, 100),
            ("Bytes= 1-2 ", 1, 3),
            ("bytes=0-99999999999999999999999", 0, 100),
        ] {
            assert_eq!(part(header), Some(Some((from, to))), "{header}");
        }
    }

    #[test]
    fn what_is_beyond_the_end_is_not_there() {
        for header in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(part(header), Some(None), "{header}");
        }
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=0--1",
        ] {
            assert_eq!(part(header), None, "{header}");
        }
    }
}
