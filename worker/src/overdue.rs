//! Handlers that go on after their attempt was given up: a thread that does not look at its token cannot be ended, nor
//! can an async handler that never reaches an `.await`. Their outcome is recorded and their later writes are refused;
//! here they are counted, and their slots replaced up to a bound.
//!
//! Invariants: at most `--overdue-max` such handlers have had their slot replaced, so a
//! process runs at most its slots and that many handlers; the slot of any further one stays taken until one ends. The
//! process itself is not ended, however many there are: when they hold every slot it holds no live attempt, it is not
//! ready and consumes nothing, so the broker gives its share to others, and it goes on to promote, relay and rescue.
//! Whoever watches `/readyz` may restart it at any time, which costs no attempt.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use caraway_shared::{task::QueueName, telemetry::names};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::execute::Job;

/// How long a handler that was dropped may take to be gone. One that reaches its next `.await` needs far less.
const GONE_WITHIN: Duration = Duration::from_millis(200);

/// The process's overdue handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Overdue {
    /// One for each overdue handler whose slot was replaced.
    places: Arc<Semaphore>,
    counts: Arc<Mutex<HashMap<QueueName, Count>>>,
    /// Slots of the whole process.
    slots: usize,
}

/// How many there are of one queue.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Count {
    /// Handlers that go on.
    pub(crate) handlers: usize,
    /// Slots that were not replaced.
    pub(crate) withheld: usize,
}

/// What an overdue handler keeps others from.
pub(crate) struct Kept {
    pub(crate) slot: OwnedSemaphorePermit,
    /// The place of suspects: whoever is in it is to blame for a crash, for as long as it goes on.
    pub(crate) alone: Option<OwnedSemaphorePermit>,
}

impl Overdue {
    /// None yet, in a process of so many slots, of which up to `max` are replaced.
    pub(crate) fn new(max: usize, slots: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), counts: Arc::default(), slots }
    }

    /// Of one queue.
    pub(crate) fn of(&self, queue: &QueueName) -> Count {
        self.lock().get(queue).copied().unwrap_or_default()
    }

    /// Of the process.
    pub(crate) fn all(&self) -> Count {
        let add = |sum: Count, one: &Count| Count {
            handlers: sum.handlers + one.handlers,
            withheld: sum.withheld + one.withheld,
        };
        self.lock().values().fold(Count::default(), add)
    }

    /// Whether no slot of the process is left for work.
    pub(crate) fn exhausted(&self) -> bool {
        self.all().withheld >= self.slots
    }

    /// Takes over a handler whose outcome is recorded. Returns when it is known whether it goes on; what it keeps is
    /// given back now, or when its turn comes.
    pub(crate) async fn take(&self, queue: &QueueName, mut job: Job, kept: Kept) {
        if timeout(GONE_WITHIN, job.ended()).await.is_ok() {
            return;
        }
        metrics::counter!(names::OVERSTAYED).increment(1);
        let counted = Counted::enter(self, queue, |count| &mut count.handlers);
        tokio::spawn(self.clone().wait(queue.clone(), job, kept, counted));
    }

    async fn wait(self, queue: QueueName, mut job: Job, kept: Kept, counted: Counted) {
        let Kept { slot, alone } = kept;
        let mut place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            let withheld = Counted::enter(&self, &queue, |count| &mut count.withheld);
            self.warn(&queue);
            tokio::select! {
                () = job.ended() => (),
                freed = Arc::clone(&self.places).acquire_owned() => place = freed.ok(),
            }
            drop(withheld);
        } else {
            tracing::warn!(%queue, "a handler goes on past its limit; its slot is replaced");
        }
        drop(slot);
        job.ended().await;
        drop((counted, place, alone));
        tracing::info!(%queue, "an overdue handler has ended");
    }

    fn warn(&self, queue: &QueueName) {
        if self.exhausted() {
            tracing::error!(
                %queue,
                overdue = self.all().handlers,
                "every slot is held by a handler that goes on past its limit: no work is taken until one ends; restart \
                 this worker"
            );
        } else {
            tracing::warn!(%queue, "a handler goes on past its limit, and too many do: its slot is not replaced");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueName, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Field = fn(&mut Count) -> &mut usize;

/// Counts one for as long as it lives.
struct Counted {
    overdue: Overdue,
    queue: QueueName,
    field: Field,
}

impl Counted {
    fn enter(overdue: &Overdue, queue: &QueueName, field: Field) -> Self {
        *field(overdue.lock().entry(queue.clone()).or_default()) += 1;
        Self { overdue: overdue.clone(), queue: queue.clone(), field }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.overdue.lock().get_mut(&self.queue) {
            let number = (self.field)(count);
            *number = number.saturating_sub(1);
        }
    }
}
