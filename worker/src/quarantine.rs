//! What means nothing to a worker is put aside for people: messages that cannot be read, pointers to no task. Whoever reaches
//! the broker can send any number of them.
//!
//! Invariant: they cost a bounded number of rows and log lines, however many come; each is counted.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use caraway_shared::{broker::Settle, store::StoreError, task::QueueName, telemetry::names};
use tokio::time::{Instant, sleep};

use crate::startup::Engine;

/// The time over which rows and log lines are bounded.
const PERIOD: Duration = Duration::from_mins(1);
/// Rows that one worker adds in that time: enough to see what is wrong. The table has a bound of its own.
const ROWS_MAX: u32 = 100;
/// Between two tries to write one.
const PAUSE: Duration = Duration::from_millis(500);

/// How many rows and log lines there were lately.
#[derive(Default)]
pub(crate) struct Allowance(Mutex<Option<Period>>);

struct Period {
    began: Instant,
    rows: u32,
    /// Messages since the last log line.
    untold: u64,
}

/// What becomes of a message.
#[derive(PartialEq, Eq, Debug)]
struct Verdict {
    kept: bool,
    /// Log so many now, this one included.
    tell: Option<u64>,
}

impl Allowance {
    fn judge(&self, now: Instant) -> Verdict {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = period.as_ref().is_none_or(|period| now - period.began >= PERIOD);
        let untold = period.as_ref().map_or(0, |period| period.untold);
        if over {
            *period = Some(Period { began: now, rows: 1, untold: 0 });
            return Verdict { kept: true, tell: Some(untold + 1) };
        }
        let Some(period) = period.as_mut() else { return Verdict { kept: false, tell: None } };
        period.untold += 1;
        let kept = period.rows < ROWS_MAX;
        period.rows += u32::from(kept);
        Verdict { kept, tell: None }
    }
}

impl Engine {
    /// Puts a message aside, in the background; then its delivery is settled.
    pub(crate) fn put_aside(self: &Arc<Self>, queue: &QueueName, reason: &'static str, body: Vec<u8>, settle: Settle) {
        metrics::counter!(names::QUARANTINED).increment(1);
        let Verdict { kept, tell } = self.allowance.judge(Instant::now());
        if let Some(messages) = tell {
            tracing::error!(%queue, reason, messages, "broker messages mean nothing here and are put aside");
        }
        if !kept {
            return settle.done();
        }
        let (engine, queue) = (Arc::clone(self), queue.clone());
        self.tracker.spawn(async move {
            until_done(async || engine.store.quarantine(queue.as_str(), reason, &body).await).await;
            settle.done();
        });
    }
}

/// Repeats a write that must get through.
async fn until_done<F: Future<Output = Result<(), StoreError>>>(write: impl Fn() -> F) {
    while let Err(error) = write().await {
        tracing::warn!(%error, "a write is repeated");
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_bounded_number_of_rows_and_one_line_a_minute() {
        let (allowance, start) = (Allowance::default(), Instant::now());
        let flood = |at| (0..64_000).map(|_| allowance.judge(at)).collect::<Vec<_>>();
        let count = |verdicts: &[Verdict]| {
            let kept = verdicts.iter().filter(|verdict| verdict.kept).count();
            (kept, verdicts.iter().filter_map(|verdict| verdict.tell).collect::<Vec<_>>())
        };
        assert_eq!(count(&flood(start)), (100, vec![1]));
        assert_eq!(count(&flood(start + PERIOD - Duration::from_secs(1))), (0, vec![]));
        assert_eq!(count(&flood(start + PERIOD)), (100, vec![128_000]));
    }
}
