//! Times and limits in a submission. Durations are numbers of seconds; instants are RFC 3339 with an offset.

use std::time::Duration;

use caraway_shared::task::{Start, TaskSpec, TimeLimit};
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::{
    extract::{Fields, typed},
    problem::{Code, Fault},
};

/// Longest time that can be added to now and stay within the year 9999, roughly.
const SECONDS_MAX: f64 = 7_900.0 * 365.25 * 86_400.0;
const RESULT_TTL_MAX: f64 = 90.0 * 86_400.0;

pub(super) const LIMIT: &str = "must be a number of seconds, greater than 0";

/// `delay` or `run_at`, not both.
pub(crate) fn start(fields: &mut Fields<'_>) -> Start {
    let delay = fields.optional("delay", "must be a number of seconds, 0 or more, before the year 9999", delay);
    let run_at = fields.instant("run_at");
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

/// The hard time limit: null is none.
pub(super) fn time_limit(fields: &mut Fields<'_>) -> TimeLimit {
    let otherwise = if fields.is_null("timeout") { TimeLimit::Unlimited } else { TimeLimit::Inherited };
    fields.optional("timeout", LIMIT, limit).map_or(otherwise, TimeLimit::After)
}

/// What is wrong with the times of a task beside each other: it could never start, or never be asked to stop.
pub(super) fn contradiction(task: &TaskSpec, now: Timestamp) -> Option<Fault> {
    let fault = |pointer: &str, detail| Some(Fault { pointer: pointer.into(), code: Code::InvalidRequest, detail });
    let start = match task.start {
        Start::Now => now,
        Start::After(delay) => now.checked_add(delay).unwrap_or(Timestamp::MAX),
        Start::At(time) => time.max(now),
    };
    if let Some(expires_at) = task.extra.expires_at
        && expires_at <= start
    {
        let what = if start == now { "in the future, and is past" } else { "later than its start" };
        return fault("/expires_at", format!("must be {what}: the task could never run (it starts at {start})"));
    }
    if let (Some(soft), Some(hard)) = (task.extra.soft_timeout, task.timeout)
        && soft > hard.as_secs_f64()
    {
        let hard = hard.as_secs_f64();
        let detail = format!("must not be above the hard limit, which is {hard} seconds; set timeout as well");
        return fault("/soft_timeout", detail);
    }
    None
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
