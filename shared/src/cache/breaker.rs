//! A circuit breaker: after a failure nobody asks again for a while, so that a dead Redis costs one slow read a second
//! and not one a request.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Closed at first.
pub(super) struct Breaker {
    started: Instant,
    rest: Duration,
    /// Milliseconds after `started` until which it is open.
    open_until: AtomicU64,
}

impl Breaker {
    /// `rest` is how long a trip lasts.
    pub(super) fn new(rest: Duration) -> Self {
        Self { started: Instant::now(), rest, open_until: AtomicU64::new(0) }
    }

    /// Whether to leave the thing alone.
    pub(super) fn is_open(&self) -> bool {
        millis(self.started.elapsed()) < self.open_until.load(Ordering::Relaxed)
    }

    /// It failed.
    pub(super) fn trip(&self) {
        self.open_until.store(millis(self.started.elapsed() + self.rest), Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_opens_it_for_its_rest() {
        let breaker = Breaker::new(Duration::from_hours(1));
        assert!(!breaker.is_open());
        breaker.trip();
        assert!(breaker.is_open());
        let short = Breaker::new(Duration::ZERO);
        short.trip();
        assert!(!short.is_open());
    }
}
