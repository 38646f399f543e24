//! What this process knows of the database's answers, by its own monotonic clock: for how long they have come without a pause, and
//! since when the database's clock has not jumped.
//!
//! While the database pauses no worker can record how an attempt ended; after a pause every worker gets time to do so before
//! anybody gives up on its attempts. And where the clock jumps ahead, attempts look older than they are: those that started before
//! the jump are left to their own workers.

use std::time::Duration;

use jiff::Timestamp;

/// Two answers further apart than this have a pause between them.
const GAP_MAX: Duration = Duration::from_secs(5);
/// A clock that gains more than this between two answers has jumped; less is a slow answer, or a clock that is set right.
const GAIN_MAX: Duration = Duration::from_secs(5);

/// What one process remembers. Times are durations since it started.
#[derive(Default)]
pub(super) struct Answering {
    since: Duration,
    last: Option<(Duration, Timestamp)>,
    trusted: Timestamp,
}

/// What an answer tells beside those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Steady {
    /// For how long there has been no pause.
    pub(super) time: Duration,
    /// The age of what started before this, by the database's clock, means nothing.
    pub(super) trusted: Timestamp,
}

impl Answering {
    /// Takes in an answer, and what the database's clock said in it.
    pub(super) fn answered(&mut self, now: Duration, clock: Timestamp) -> Steady {
        if let Some((last, last_clock)) = self.last {
            let passed = now.saturating_sub(last);
            if passed > GAP_MAX {
                self.since = now;
            }
            if Duration::try_from(clock.duration_since(last_clock)).is_ok_and(|said| said > passed + GAIN_MAX) {
                self.trusted = clock;
            }
        } else {
            self.since = now;
        }
        self.last = Some((now, clock));
        Steady { time: now.saturating_sub(self.since), trusted: self.trusted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at these seconds, with a clock that said these ones; the seconds without a pause, and since when it is trusted.
    fn told<const N: usize>(answers: [(u64, i64); N]) -> [(u64, i64); N] {
        let mut answering = Answering::default();
        answers.map(|(now, clock)| {
            let steady = answering.answered(Duration::from_secs(now), Timestamp::from_second(clock).unwrap());
            (steady.time.as_secs(), steady.trusted.as_second())
        })
    }

    #[test]
    fn a_pause_starts_the_time_again() {
        let answers = [(7, 107), (10, 110), (15, 115), (21, 121), (24, 124)];
        assert_eq!(told(answers), [(0, 0), (3, 0), (8, 0), (0, 0), (3, 0)]);
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_trusted_from_then_on() {
        assert_eq!(told([(0, 100), (3, 103), (6, 3706), (9, 3709)]), [(0, 0), (3, 0), (6, 3706), (9, 3706)]);
        assert_eq!(told([(0, 100), (60, 3760)])[1], (0, 3760), "also in a pause");
        assert_eq!(told([(0, 100), (3, 50), (6, 58)]), [(0, 0), (3, 0), (6, 0)], "back, or by little: no matter");
    }
}
