//! The `retry` object: how often, when, and after which errors.

use caraway_shared::task::{Backoff, RetryPolicy, limits};
use serde_json::value::RawValue;

use crate::extract::{Fields, typed};

const PATTERNS_MAX: usize = 20;
const PATTERNS: &str = "must be up to 20 error codes of 1 to 128 bytes, in which * stands for anything";

/// What the body said, with the defaults for what it left out.
#[derive(Debug)]
pub(super) struct Retry {
    pub(super) max_attempts: i32,
    pub(super) policy: RetryPolicy,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: limits::ATTEMPTS_DEFAULT, policy: RetryPolicy::default() }
    }
}

impl Retry {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let max_attempts = fields.optional("max_attempts", "must be a whole number from 1 to 100", |value| {
            typed(value).filter(|attempts| (1..=limits::ATTEMPTS_MAX).contains(attempts))
        });
        let backoff = fields.object("backoff", read_backoff);
        let default = Self::default();
        let policy = RetryPolicy {
            backoff: backoff.unwrap_or_default(),
            jitter: fields
                .optional("jitter", "must be a number from 0 to 1", |value| {
                    typed::<f64>(value).filter(|jitter| (0.0..=1.0).contains(jitter))
                })
                .unwrap_or(default.policy.jitter),
            retry_on: fields.optional("retry_on", PATTERNS, patterns).unwrap_or_default(),
            no_retry_on: fields.optional("no_retry_on", PATTERNS, patterns).unwrap_or_default(),
            max_retry_duration: fields.optional(
                "max_retry_duration",
                "must be a number of seconds, 0 or more",
                |value| typed::<f64>(value).filter(|seconds| *seconds >= 0.0),
            ),
        };
        Self { max_attempts: max_attempts.unwrap_or(default.max_attempts), policy }
    }
}

/// Where no longest wait is given, it is at least the first one.
fn read_backoff(fields: &mut Fields<'_>) -> Backoff {
    const SECONDS: &str = "must be a number of seconds, from 0 to a year";
    let default = Backoff::default();
    let seconds = |value: &RawValue| typed(value).filter(|seconds| Backoff::is_wait(*seconds));
    let kind = fields.optional("type", "must be constant, linear or exponential", typed);
    let initial = fields.optional("initial", SECONDS, seconds).unwrap_or(default.initial);
    let factor = fields.optional("factor", "must be a number from 1 to 1000", |value| {
        typed(value).filter(|factor| (1.0..=1000.0).contains(factor))
    });
    let max = fields.optional("max", SECONDS, seconds);
    if max.is_some_and(|max| max < initial) {
        fields.refuse("max", &format!("must not be below initial, which is {initial} seconds"));
    }
    Backoff {
        kind: kind.unwrap_or(default.kind),
        initial,
        factor: factor.unwrap_or(default.factor),
        max: max.unwrap_or(default.max.max(initial)),
    }
}

fn patterns(value: &RawValue) -> Option<Vec<String>> {
    let patterns = typed::<Vec<String>>(value)?;
    let sizes = patterns.iter().all(|pattern| (1..=128).contains(&pattern.len()));
    // each star may cost a scan of the code: two are enough for anybody
    let stars = patterns.iter().all(|pattern| pattern.matches('*').count() <= 2);
    (sizes && stars && patterns.len() <= PATTERNS_MAX).then_some(patterns)
}
