//! Whether and when another attempt follows. Pure: the attempt number, the error's code, the task's age and a random
//! number come in, a decision goes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::glob;

/// How the wait grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackoffKind {
    /// Always `initial`.
    Constant,
    /// `initial × attempt`.
    Linear,
    /// `initial × factor ^ (attempt − 1)`.
    Exponential,
}

/// How long to wait between attempts. Durations are seconds, as everywhere in the JSON.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// How the wait grows.
    #[serde(rename = "type")]
    pub kind: BackoffKind,
    /// Wait after the first attempt, seconds.
    #[schema(minimum = 0, maximum = 31_622_400)]
    pub initial: f64,
    /// Growth per attempt (exponential only).
    #[schema(minimum = 1, maximum = 1000)]
    pub factor: f64,
    /// Longest wait, seconds, not below `initial`; 600 where nothing is said, or `initial` if that is more.
    #[schema(minimum = 0, maximum = 31_622_400)]
    pub max: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { kind: BackoffKind::Exponential, initial: 2.0, factor: 2.0, max: 600.0 }
    }
}

/// Longest wait that anything can ask for, seconds: a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

impl Backoff {
    /// Whether this can be a wait: a number of seconds, up to a year.
    pub fn is_wait(seconds: f64) -> bool {
        (0.0..=SECONDS_MAX).contains(&seconds)
    }

    /// The wait after `attempt` (1 = the first) failed; `random` is drawn from 0 ≤ r < 1. `jitter` 0 waits the full
    /// time, 1 anything between nothing and the full time ("full jitter", after the AWS Architecture Blog's
    /// "Exponential Backoff And Jitter").
    pub fn wait(&self, attempt: i32, jitter: f64, random: f64) -> Duration {
        let attempt = f64::from(attempt.max(1));
        let full = match self.kind {
            BackoffKind::Constant => self.initial,
            BackoffKind::Linear => self.initial * attempt,
            BackoffKind::Exponential => self.initial * self.factor.powf(attempt - 1.0),
        };
        let full = full.clamp(0.0, self.max.min(SECONDS_MAX));
        Duration::try_from_secs_f64(full * (1.0 - jitter * random.clamp(0.0, 1.0))).unwrap_or(Duration::ZERO)
    }
}

/// A task's retry policy, beside its number of attempts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// The wait.
    pub backoff: Backoff,
    /// How much of the wait is left to chance, 0 to 1.
    pub jitter: f64,
    /// Only errors whose code matches one of these are tried again; empty: all that are retryable. `*` stands for
    /// anything.
    pub retry_on: Vec<String>,
    /// Errors whose code matches one of these are never tried again.
    pub no_retry_on: Vec<String>,
    /// No attempt begins later than this after acceptance, seconds.
    pub max_retry_duration: Option<f64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            jitter: 1.0,
            retry_on: Vec::new(),
            no_retry_on: Vec::new(),
            max_retry_duration: None,
        }
    }
}

impl RetryPolicy {
    /// A policy as it is stored: nothing where it is the default.
    pub fn stored(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Whether an error with this code may be followed by another attempt.
    pub fn allows(&self, code: &str) -> bool {
        let names = |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern, code));
        (self.retry_on.is_empty() || names(&self.retry_on)) && !names(&self.no_retry_on)
    }

    /// The wait before the attempt after this one, or `None` when there shall be none. `age` is the time since the task
    /// was accepted; `asked` is a wait that the error itself names, which wins over the back-off.
    pub fn next(
        &self,
        code: &str,
        attempt: i32,
        age: Duration,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if !self.allows(code) {
            return None;
        }
        let wait = asked.unwrap_or_else(|| self.backoff.wait(attempt, self.jitter, random)).min(Self::wait_max());
        let in_time = self.max_retry_duration.is_none_or(|limit| (age + wait).as_secs_f64() <= limit);
        in_time.then_some(wait)
    }

    /// Longest wait that anything can ask for: the database's clock has an end.
    pub fn wait_max() -> Duration {
        Duration::try_from_secs_f64(SECONDS_MAX).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exponential_doubles_up_to_its_cap() {
        let waits = [1, 2, 3, 9, 10, i32::MAX].map(|attempt| Backoff::default().wait(attempt, 0.0, 0.5).as_secs());
        assert_eq!(waits, [2, 4, 8, 512, 600, 600]);
    }

    #[test]
    fn constant_and_linear() {
        let of = |kind| Backoff { kind, ..Backoff::default() }.wait(3, 0.0, 0.0).as_secs();
        assert_eq!([of(BackoffKind::Constant), of(BackoffKind::Linear)], [2, 6]);
    }

    #[test]
    fn codes_choose_what_is_tried_again() {
        let policy = RetryPolicy {
            retry_on: vec!["http.*".into(), "timed_out".into()],
            no_retry_on: vec!["http.4*".into()],
            ..RetryPolicy::default()
        };
        let again = |code| policy.next(code, 1, Duration::ZERO, None, 0.0).is_some();
        assert!(again("http.503") && again("timed_out"));
        assert!(!again("http.404") && !again("boom") && !again("timed_out_"));
    }

    #[test]
    fn no_attempt_begins_past_the_policys_time() {
        let policy = RetryPolicy { max_retry_duration: Some(10.0), ..RetryPolicy::default() };
        let next = |age| policy.next("x", 1, Duration::from_secs(age), None, 0.0);
        assert_eq!((next(8), next(9)), (Some(Duration::from_secs(2)), None));
    }

    proptest! {
        #[test]
        fn never_longer_than_max_and_never_a_panic(
            initial in any::<f64>(), factor in any::<f64>(), max in any::<f64>(), jitter in 0.0..=1.0,
            attempt in any::<i32>(), random in 0.0..1.0,
        ) {
            let backoff = Backoff { initial, factor, max, ..Backoff::default() };
            if Backoff::is_wait(initial) && Backoff::is_wait(max) && (1.0..=1000.0).contains(&factor) {
                prop_assert!(backoff.wait(attempt, jitter, random).as_secs_f64() <= max + 1e-6);
            }
        }
    }
}
