//! How full a message may be: as its queue's settings say, and less where its tasks take long. Whoever takes a message takes
//! all its pointers, so a message of many long tasks keeps one worker busy while its neighbours are idle.
//!
//! Workers measure how long tasks take and keep the queue's row about right; publishers and workers read it now and then.
//!
//! Invariants: where nothing is known of a queue, a message holds one pointer, which is always right and only slower; a
//! row is written only by somebody who finds it off by more than a factor of two, so however many workers there are, it
//! is hardly ever written.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    store::{QueueRow, Store},
    task::{Bundle, QueueName},
};

/// How long the settings are used before they are read again.
const SETTINGS_EVERY: Duration = Duration::from_secs(5);
/// Between two tries to read them.
const PAUSE: Duration = Duration::from_millis(500);
/// What one slot may have to do for one message.
const MESSAGE_SECONDS_MAX: f64 = 0.1;
/// The share of the newest task in the mean.
const NEWEST: f64 = 1.0 / 16.0;
/// By which factor a row may be off.
const OFF_MAX: f64 = 2.0;
/// Shorter tasks are all alike.
const RUN_SECONDS_MIN: f64 = 0.001;

/// How many pointers of each queue go into one message.
#[derive(Clone, Default)]
pub(super) struct Bundles(Arc<RwLock<HashMap<QueueName, Known>>>);

/// What is known of a queue.
struct Known {
    row: QueueRow,
    /// The mean run time of what ended here lately, seconds; zero before the first.
    mean: Mean,
}

impl Bundles {
    pub(super) fn known(&self, queue: &QueueName) -> Option<usize> {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(queue).map(|known| pointers(&known.row))
    }

    /// One by one while nothing is known: always right, only slower.
    pub(super) fn max(&self, queue: &QueueName) -> usize {
        self.known(queue).unwrap_or(1)
    }

    /// A task of this queue has run for so long in this process.
    pub(super) fn ran(&self, queue: &QueueName, time: Duration) {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = queues.get(queue) {
            known.mean.add(time.as_secs_f64());
        }
    }

    /// Reads the settings now and then, and mends them, until shutdown.
    pub(super) async fn keep_fresh(self, store: Store, shutdown: CancellationToken) {
        loop {
            let pause = match self.refresh(&store).await {
                Ok(()) => SETTINGS_EVERY,
                // on a new installation there are no tables yet
                Err(error) => {
                    tracing::debug!(%error, "cannot read the queues' settings");
                    PAUSE
                }
            };
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn refresh(&self, store: &Store) -> Result<(), crate::store::StoreError> {
        let mut rows = store.queues().await?;
        for row in &mut rows {
            let measured = self.measured(&row.name);
            if measured.is_some_and(|measured| is_off(row.run_seconds, measured)) {
                store.note_run_time(&row.name, measured).await?;
                row.run_seconds = measured;
            }
        }
        let mut queues = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut means: HashMap<QueueName, Mean> = queues.drain().map(|(name, known)| (name, known.mean)).collect();
        queues.extend(rows.into_iter().map(|row| {
            let mean = means.remove(&row.name).unwrap_or_default();
            (row.name.clone(), Known { row, mean })
        }));
        Ok(())
    }

    fn measured(&self, queue: &QueueName) -> Option<f64> {
        let queues = self.0.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(queue).and_then(|known| known.mean.get())
    }
}

/// As many as a slot works off in [`MESSAGE_SECONDS_MAX`], a power of two, so that what depends on it seldom changes.
fn pointers(row: &QueueRow) -> usize {
    let most = row.bundle_max.clamp(1, Bundle::MAX);
    let seconds = row.run_seconds.unwrap_or(0.0).max(RUN_SECONDS_MIN);
    let fitting = std::iter::successors(Some(1_usize), |pointers| pointers.checked_mul(2))
        .take_while(|pointers| *pointers <= most && as_f64(*pointers) * seconds <= MESSAGE_SECONDS_MAX)
        .last();
    fitting.unwrap_or(1)
}

fn as_f64(pointers: usize) -> f64 {
    u32::try_from(pointers).map_or(f64::MAX, f64::from)
}

fn is_off(noted: Option<f64>, measured: f64) -> bool {
    let noted = noted.unwrap_or(0.0).max(RUN_SECONDS_MIN);
    let measured = measured.max(RUN_SECONDS_MIN);
    measured / noted > OFF_MAX || noted / measured > OFF_MAX
}

/// An exponential mean, as the bits of a float. Two who add at once may lose one of the two, which is as good.
#[derive(Default)]
struct Mean(AtomicU64);

impl Mean {
    fn add(&self, value: f64) {
        let mean = self.get().map_or(value, |mean| mean + (value - mean) * NEWEST);
        self.0.store(mean.to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|mean| *mean > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bundle_max: usize, run_seconds: Option<f64>) -> QueueRow {
        QueueRow { name: "q".parse().expect("a name"), bundle_max, run_seconds }
    }

    #[test]
    fn the_longer_tasks_take_the_fewer_go_into_a_message() {
        let table =
            [(None, 64), (Some(0.0005), 64), (Some(0.002), 32), (Some(0.05), 2), (Some(0.1), 1), (Some(60.0), 1)];
        for (seconds, pointers) in table {
            assert_eq!(super::pointers(&row(64, seconds)), pointers, "{seconds:?}");
        }
        assert_eq!(super::pointers(&row(1, None)), 1);
        assert_eq!(super::pointers(&row(24, None)), 16);
    }

    #[test]
    fn a_row_is_mended_when_it_is_off_by_more_than_two() {
        assert!(!is_off(None, 0.0001));
        assert!(!is_off(Some(0.05), 0.09));
        assert!(is_off(Some(0.05), 0.11));
        assert!(is_off(Some(0.05), 0.02));
        assert!(is_off(None, 1.0));
    }

    #[test]
    fn the_mean_follows() {
        let mean = Mean::default();
        assert_eq!(mean.get(), None);
        mean.add(1.0);
        assert_eq!(mean.get(), Some(1.0));
        (0..100).for_each(|_| mean.add(0.01));
        assert!(mean.get().is_some_and(|mean| mean < 0.02));
    }
}
