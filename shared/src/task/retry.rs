//! How long to wait before the next attempt. Pure: the attempt number and a random number come in, a duration goes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the wait grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackoffKind {
    /// Always `initial`.
    Constant,
    /// `initial × attempt`.
    Linear,
    /// `initial × factor ^ (attempt − 1)`.
    Exponential,
}

/// A task's back-off policy. Durations are seconds, as everywhere in the JSON.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backoff {
    /// How the wait grows.
    #[serde(rename = "type")]
    pub kind: BackoffKind,
    /// Wait after the first attempt, seconds.
    pub initial: f64,
    /// Growth per attempt (exponential only).
    pub factor: f64,
    /// Longest wait, seconds.
    pub max: f64,
    /// 0 waits the full time, 1 anything between nothing and the full time ("full jitter", after the AWS Architecture
    /// Blog's "Exponential Backoff And Jitter").
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { kind: BackoffKind::Exponential, initial: 2.0, factor: 2.0, max: 600.0, jitter: 1.0 }
    }
}

impl Backoff {
    /// The longest wait that any policy can ask for: a year.
    pub const MAX_SECONDS: f64 = 366.0 * 86_400.0;

    /// Whether all numbers are finite and in range: 0 ≤ initial, max ≤ [`Self::MAX_SECONDS`], 1 ≤ factor ≤ 1000,
    /// 0 ≤ jitter ≤ 1.
    pub fn is_valid(&self) -> bool {
        let seconds = 0.0..=Self::MAX_SECONDS;
        seconds.contains(&self.initial)
            && seconds.contains(&self.max)
            && (1.0..=1000.0).contains(&self.factor)
            && (0.0..=1.0).contains(&self.jitter)
    }

    /// The wait after `attempt` (1 = the first) failed; `random` is drawn from 0 ≤ r < 1.
    pub fn wait(&self, attempt: i32, random: f64) -> Duration {
        let attempt = f64::from(attempt.max(1));
        let full = match self.kind {
            BackoffKind::Constant => self.initial,
            BackoffKind::Linear => self.initial * attempt,
            BackoffKind::Exponential => self.initial * self.factor.powf(attempt - 1.0),
        };
        let full = full.clamp(0.0, self.max.min(Self::MAX_SECONDS));
        Duration::try_from_secs_f64(full * (1.0 - self.jitter * random.clamp(0.0, 1.0))).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exponential_doubles_up_to_its_cap() {
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let waits = [1, 2, 3, 9, 10, i32::MAX].map(|attempt| backoff.wait(attempt, 0.5).as_secs());
        assert_eq!(waits, [2, 4, 8, 512, 600, 600]);
    }

    #[test]
    fn constant_and_linear() {
        let of = |kind| Backoff { kind, jitter: 0.0, ..Backoff::default() }.wait(3, 0.0).as_secs();
        assert_eq!([of(BackoffKind::Constant), of(BackoffKind::Linear)], [2, 6]);
    }

    proptest! {
        #[test]
        fn never_longer_than_max_and_never_a_panic(
            initial in any::<f64>(), factor in any::<f64>(), max in any::<f64>(), jitter in any::<f64>(),
            attempt in any::<i32>(), random in 0.0..1.0,
        ) {
            let backoff = Backoff { initial, factor, max, jitter, ..Backoff::default() };
            if backoff.is_valid() {
                prop_assert!(backoff.wait(attempt, random).as_secs_f64() <= max + 1e-6);
            }
        }
    }
}
