//! A rate kept by a virtual clock (GCRA): each request moves it on by an interval, and it may run ahead of the time by so many
//! intervals as requests may come at once.
//!
//! Invariants: in any stretch of time at most the burst and what the rate gives in that time is let through; a request that is
//! refused moves nothing.

use std::time::Duration;

/// How many, and how quickly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

/// How far a rate is used up. Times are since any moment, always the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pace {
    /// When the burst will be whole again.
    whole_at: Duration,
}

impl Rate {
    /// The share of one of `parts` in `per_second` requests, with a burst of what it gives in a second; at least one request,
    /// however small the share is. Zeros count as ones.
    pub fn share(per_second: u32, parts: u32) -> Self {
        let (per_second, parts) = (per_second.max(1), parts.max(1));
        let interval = Duration::from_secs(parts.into()) / per_second;
        Self { interval, burst: (per_second / parts).max(1) }
    }

    /// How many may come at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    fn ahead_max(self) -> Duration {
        self.interval.saturating_mul(self.burst)
    }
}

impl Pace {
    /// Takes one request, or tells after how much time there will be one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let whole_at = self.whole_at.max(now) + rate.interval;
        match whole_at.checked_sub(now + rate.ahead_max()) {
            None | Some(Duration::ZERO) => {
                self.whole_at = whole_at;
                Ok(())
            }
            Some(too_far) => Err(too_far),
        }
    }

    /// One request has been let through by somebody else's leave.
    pub fn charge(&mut self, rate: Rate, now: Duration) {
        self.whole_at = (self.whole_at.max(now) + rate.interval).min(now + rate.ahead_max());
    }

    /// How many could be taken now.
    pub fn left(&self, rate: Rate, now: Duration) -> u32 {
        let ahead = self.whole_at.saturating_sub(now).as_nanos();
        let used = ahead.div_ceil(rate.interval.as_nanos().max(1));
        rate.burst.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn taken(pace: &mut Pace, rate: Rate, now: Duration) -> u32 {
        (0..2_000_000).take_while(|_| pace.take(rate, now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn a_burst_and_then_one_an_interval() {
        for (per_second, parts, burst) in [(1, 1, 1), (3, 1, 3), (7, 3, 2), (1000, 3, 333), (1_000_000, 1, 1_000_000)] {
            let (rate, mut pace) = (Rate::share(per_second, parts), Pace::default());
            let start = Duration::from_secs(1000);
            assert_eq!((pace.left(rate, start), taken(&mut pace, rate, start)), (burst, burst), "{per_second}/{parts}");
            assert_eq!(pace.left(rate, start), 0);
            let wait = pace.take(rate, start).unwrap_err();
            assert!(
                wait <= rate.interval && pace.take(rate, start + wait.saturating_sub(Duration::from_nanos(1))).is_err()
            );
            assert_eq!(pace.take(rate, start + wait), Ok(()));
        }
    }

    #[test]
    fn a_share_smaller_than_one_a_second_is_one_in_some_seconds() {
        let (rate, mut pace) = (Rate::share(1, 30), Pace::default());
        assert_eq!(pace.take(rate, Duration::ZERO), Ok(()));
        assert_eq!(pace.take(rate, Duration::ZERO), Err(Duration::from_secs(30)));
    }

    #[test]
    fn what_others_let_through_counts() {
        let (rate, mut pace) = (Rate::share(10, 1), Pace::default());
        (0..100).for_each(|_| pace.charge(rate, Duration::ZERO));
        assert_eq!(pace.take(rate, Duration::ZERO), Err(rate.interval), "and is forgotten beyond the burst");
        assert_eq!(taken(&mut pace, rate, Duration::from_secs(1)), 10);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_has_too_many(per_second in 1_u32..200, parts in 1_u32..5, gaps in vec(0_u64..300, 1..200)) {
            let (rate, mut pace, mut now) = (Rate::share(per_second, parts), Pace::default(), Duration::ZERO);
            let mut through = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                through.extend(pace.take(rate, now).is_ok().then_some(now));
            }
            for (first, from) in through.iter().enumerate() {
                for (last, to) in through.iter().enumerate().skip(first) {
                    let most = f64::from(rate.burst) + to.saturating_sub(*from).div_duration_f64(rate.interval);
                    let some = f64::from(u32::try_from(last - first + 1).unwrap());
                    prop_assert!(some <= most + 1e-6, "{some} of {most}");
                }
            }
        }
    }
}
