//! A circuit breaker: when most calls fail, nobody asks for a while, so that a dead Redis costs its callers no time.
//!
//! Closed, it counts: at least 20 calls in ten seconds of which half failed open it. Open, nobody asks for five seconds.
//! Then three calls may try: if all three succeed it is closed, and one that fails opens it again. A call that is given up
//! before it has a verdict counts for nothing and leaves its place to another.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::telemetry::names;

const WINDOW: Duration = Duration::from_secs(10);
const CALLS_MIN: u32 = 20;
const REST: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Closed at first.
pub(super) struct Breaker {
    state: Mutex<State>,
    rest: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Closed {
        since: Instant,
        calls: u32,
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// So many more may try, and so many that tried have succeeded.
    Probing {
        left: u32,
        succeeded: u32,
    },
}

/// One call that is allowed. Told nothing, it leaves no trace.
pub(super) struct Call<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    told: bool,
}

impl Breaker {
    /// With the bounds above.
    pub(super) fn new() -> Self {
        Self::resting(REST)
    }

    fn resting(rest: Duration) -> Self {
        Self { state: Mutex::new(closed()), rest }
    }

    /// Permission for one call, or none while it is open.
    pub(super) fn call(&self) -> Option<Call<'_>> {
        let mut state = self.lock();
        if matches!(*state, State::Open { until } if until <= Instant::now()) {
            self.enter(&mut state, State::Probing { left: PROBES, succeeded: 0 });
        }
        let is_probe = match &mut *state {
            State::Open { .. } | State::Probing { left: 0, .. } => return None,
            State::Probing { left, .. } => {
                *left -= 1;
                true
            }
            State::Closed { .. } => false,
        };
        Some(Call { breaker: self, is_probe, told: false })
    }

    fn tell(&self, succeeded: bool) {
        let mut state = self.lock();
        let next = match *state {
            State::Closed { since, .. } if since.elapsed() >= WINDOW => first(succeeded),
            State::Closed { since, calls, failures } => {
                State::Closed { since, calls: calls + 1, failures: failures + u32::from(!succeeded) }
            }
            State::Probing { .. } if !succeeded => self.open(),
            State::Probing { succeeded: before, .. } if before + 1 >= PROBES => closed(),
            State::Probing { left, succeeded: before } => State::Probing { left, succeeded: before + 1 },
            open @ State::Open { .. } => open, // of a call that began before it opened
        };
        let too_many =
            matches!(next, State::Closed { calls, failures, .. } if calls >= CALLS_MIN && failures * 2 >= calls);
        self.enter(&mut state, if too_many { self.open() } else { next });
    }

    fn open(&self) -> State {
        State::Open { until: Instant::now() + self.rest }
    }

    fn enter(&self, state: &mut State, next: State) {
        let opens = matches!(next, State::Open { .. }) && !matches!(*state, State::Open { .. });
        if opens {
            metrics::counter!(names::CACHE_TRIPS).increment(1);
            tracing::warn!(rest.s = self.rest.as_secs(), "redis does not answer and is left alone for a while");
        }
        let level = match next {
            State::Closed { .. } => 0.0,
            State::Probing { .. } => 1.0,
            State::Open { .. } => 2.0,
        };
        if std::mem::discriminant(state) != std::mem::discriminant(&next) {
            metrics::gauge!(names::CACHE_BREAKER).set(level);
        }
        *state = next;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> State {
    State::Closed { since: Instant::now(), calls: 0, failures: 0 }
}

/// A window that begins with this call.
fn first(succeeded: bool) -> State {
    State::Closed { since: Instant::now(), calls: 1, failures: u32::from(!succeeded) }
}

impl Call<'_> {
    /// How it went.
    pub(super) fn ended(mut self, succeeded: bool) {
        self.told = true;
        self.breaker.tell(succeeded);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.told
            && self.is_probe
            && let State::Probing { left, .. } = &mut *self.breaker.lock()
        {
            *left += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(breaker: &Breaker, succeeded: bool, times: u32) {
        for _ in 0..times {
            breaker.call().unwrap().ended(succeeded);
        }
    }

    #[test]
    fn few_failures_or_many_successes_leave_it_closed() {
        let breaker = Breaker::new();
        tell(&breaker, false, CALLS_MIN - 1);
        assert!(breaker.call().is_some());
        let breaker = Breaker::new();
        tell(&breaker, true, 100);
        tell(&breaker, false, 99);
        assert!(breaker.call().is_some());
        tell(&breaker, false, 1);
        assert!(breaker.call().is_none());
    }

    #[test]
    fn three_successes_close_it_and_one_failure_opens_it_again() {
        let breaker = Breaker::resting(Duration::ZERO);
        tell(&breaker, false, CALLS_MIN);
        tell(&breaker, true, PROBES - 1);
        assert!(matches!(*breaker.lock(), State::Probing { left: 1, .. }));
        tell(&breaker, true, 1);
        assert!(matches!(*breaker.lock(), State::Closed { calls: 0, .. }));
        tell(&breaker, false, CALLS_MIN);
        tell(&breaker, false, 1);
        assert!(matches!(*breaker.lock(), State::Open { .. }));
    }

    #[test]
    fn a_probe_that_was_given_up_leaves_its_place() {
        let breaker = Breaker::resting(Duration::ZERO);
        tell(&breaker, false, CALLS_MIN);
        let probes: Vec<_> = (0..PROBES).map(|_| breaker.call().unwrap()).collect();
        assert!(breaker.call().is_none());
        drop(probes);
        assert!(breaker.call().is_some());
    }
}
