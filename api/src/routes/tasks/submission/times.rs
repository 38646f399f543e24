//! Times and limits in a submission. Durations are numbers of seconds; instants are RFC 3339 with an offset.

use std::time::Duration;

use caraway_shared::task::Start;
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::extract::{Fields, typed};

/// Longest time that can be added to now and stay within the year 9999, roughly.
const SECONDS_MAX: f64 = 7_900.0 * 365.25 * 86_400.0;
const RESULT_TTL_MAX: f64 = 90.0 * 86_400.0;
/// jiff's last instant lies in the year 9999 too.
const FIRST_SECOND: i64 = 0;

pub(super) const LIMIT: &str = "must be a number of seconds, greater than 0";
pub(super) const TIME: &str = "must be a time such as 2026-11-22T20:00:00Z, from 1970 to 9999, with an offset";

/// `delay` or `run_at`, not both.
pub(crate) fn start(fields: &mut Fields<'_>) -> Start {
    let delay = fields.optional("delay", "must be a number of seconds, 0 or more, before the year 9999", delay);
    let run_at = fields.optional("run_at", TIME, time);
    match (delay.filter(|delay| !delay.is_zero()), run_at) {
        (None, None) => Start::Now,
        (Some(delay), None) => Start::After(delay),
        (None, Some(time)) => Start::At(time),
        (Some(_), Some(_)) => {
            fields.refuse("run_at", "cannot be given beside delay");
            Start::Now
        }
    }
}

pub(super) fn time(value: &RawValue) -> Option<Timestamp> {
    let text = typed::<String>(value)?;
    text.parse::<Timestamp>().ok().filter(|time| is_rfc3339(&text) && time.as_second() >= FIRST_SECOND)
}

/// Of a text that was read as a time. jiff reads more than RFC 3339 has (zone names, other separators); what it writes is
/// the rule.
pub(crate) fn is_rfc3339(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZtz".contains(&byte))
}

/// Longer than the calendar is as good as the calendar.
pub(super) fn limit(value: &RawValue) -> Option<Duration> {
    let seconds = typed::<f64>(value).filter(|seconds| *seconds > 0.0)?;
    whole_milliseconds(seconds.min(SECONDS_MAX)).map(|limit| limit.max(Duration::from_millis(1)))
}

pub(super) fn result_ttl(value: &RawValue) -> Option<f64> {
    typed::<f64>(value).filter(|seconds| (0.0..=RESULT_TTL_MAX).contains(seconds))
}

fn delay(value: &RawValue) -> Option<Duration> {
    let seconds = typed::<f64>(value).filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    whole_milliseconds(seconds)
}

/// The database keeps no finer ones, and the answer must not promise more than it keeps.
fn whole_milliseconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64((seconds * 1e3).round() / 1e3).ok()
}
