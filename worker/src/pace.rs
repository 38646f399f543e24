//! Pace: how long a task type's attempts take here, so that publishers know how many pointers may share a message.
//!
//! Invariant: attempts that still run count as soon as they are older than what is usual, so that slow tasks are known as
//! such long before the first of them has ended.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The part of the mean that one attempt makes: the last twenty or so count.
const SHARE: f64 = 0.1;
/// A change by less than this factor is no news: messages would hardly differ, and each worker would write all the time.
const NEWS: f64 = 2.0;

/// The attempts of one type in this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Mutex<Attempts>>);

struct Attempts {
    origin: Instant,
    /// Seconds; of those that have ended.
    mean: Option<f64>,
    running: u32,
    /// When those began, summed up, since `origin`.
    began: Duration,
    /// Seconds; what publishers were told last.
    told: Option<f64>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self::from(Instant::now())
    }

    fn from(origin: Instant) -> Self {
        let none = Attempts { origin, mean: None, running: 0, began: Duration::ZERO, told: None };
        Self(Arc::new(Mutex::new(none)))
    }

    /// An attempt begins; it ends when what is returned is dropped.
    pub(crate) fn begin(&self) -> Attempt {
        self.begin_at(Instant::now())
    }

    fn begin_at(&self, now: Instant) -> Attempt {
        let mut attempts = self.lock();
        let began = now - attempts.origin;
        attempts.running += 1;
        attempts.began += began;
        Attempt { pace: self.clone(), began }
    }

    fn end(&self, began: Duration, now: Instant) {
        let mut attempts = self.lock();
        attempts.running = attempts.running.saturating_sub(1);
        attempts.began = attempts.began.saturating_sub(began);
        let took = (now - attempts.origin).saturating_sub(began).as_secs_f64();
        attempts.mean = Some(attempts.mean.map_or(took, |mean| mean + SHARE * (took - mean)));
    }

    /// How long attempts take now, where that is news; it counts as told.
    pub(crate) fn news(&self) -> Option<Duration> {
        self.news_at(Instant::now())
    }

    fn news_at(&self, now: Instant) -> Option<Duration> {
        let mut attempts = self.lock();
        let seconds = attempts.seconds(now)?;
        if attempts.told.is_some_and(|told| seconds < told * NEWS && told < seconds * NEWS) {
            return None;
        }
        attempts.told = Some(seconds);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// What was said last could not be written: it is news still.
    pub(crate) fn untold(&self) {
        self.lock().told = None;
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempts {
    fn seconds(&self, now: Instant) -> Option<f64> {
        let age = (self.running > 0).then(|| {
            let began = self.began / self.running;
            (now - self.origin).saturating_sub(began).as_secs_f64()
        });
        match (self.mean, age) {
            (Some(mean), Some(age)) => Some(mean.max(age)),
            (mean, age) => mean.or(age),
        }
    }
}

/// An attempt that runs.
pub(crate) struct Attempt {
    pace: Pace,
    began: Duration,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.pace.end(self.began, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_for_long_is_slow_before_it_has_ended() {
        let start = Instant::now();
        let pace = Pace::from(start);
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.news_at(at(0)), None, "nothing has run");
        for _ in 0..50 {
            let attempt = pace.begin_at(at(0));
            pace.end(attempt.began, at(10));
            std::mem::forget(attempt);
        }
        assert_eq!(pace.news_at(at(10)), Some(Duration::from_millis(10)));
        assert_eq!(pace.news_at(at(20)), None, "it was told");
        let running = [pace.begin_at(at(1000)), pace.begin_at(at(3000))];
        assert_eq!(pace.news_at(at(3000)), Some(Duration::from_secs(1)), "their mean age");
        pace.untold();
        assert_eq!(pace.news_at(at(3000)), Some(Duration::from_secs(1)));
        for attempt in running {
            std::mem::forget(attempt);
        }
    }
}
