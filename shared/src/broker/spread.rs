//! How much work one message may hold, by what workers last said: how long tasks of a type run, and who has free slots.
//!
//! Invariants: a message holds at most [`WORK_MAX`] of work, so no pointer waits longer than that for its neighbours while
//! other workers are idle; only where far more is published at once than all workers can begin, a message holds more. A task
//! whose run time nobody knows counts as a slow one. One that burns CPU travels alone.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    broken::Rule,
    store::{ServedQueue, Store, StoreError, TypePace},
    task::{QueueName, SessionId, TaskName},
};

/// Work in one message, at most: the time in which one worker gets through it. Far below what a person notices, far above
/// what a message costs.
const WORK_MAX: Duration = Duration::from_millis(100);
/// A deep backlog fills larger messages, as long as each worker still gets so many of what is published at once.
const MESSAGES_MIN: u32 = 16;
/// Work is not spread over idle workers in smaller parts: more messages would cost more than they gain.
const WORK_MIN: Duration = Duration::from_millis(10);
/// No task takes less: one that took no time would fit into a message that is full.
const TASK_MIN: Duration = Duration::from_micros(1);
/// How long what was read is used. Workers say it with their beats, every three seconds.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Between two tries to read it.
const PAUSE: Duration = Duration::from_millis(500);

/// What is known now. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Spread(Arc<RwLock<Arc<Known>>>);

/// What workers said.
#[derive(Default)]
pub(super) struct Known {
    paces: HashMap<TaskName, TypePace>,
    served: HashMap<QueueName, Vec<ServedQueue>>,
}

impl Spread {
    /// What was read last.
    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads now and then, until shutdown.
    pub(super) async fn keep_fresh(self, store: Store, shutdown: CancellationToken) {
        loop {
            let pause = match Known::read(&store).await {
                Ok(known) => {
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
                    READ_EVERY
                }
                // on a new installation there are no tables yet
                Err(error) => {
                    tracing::debug!(%error, "run times and free slots cannot be read");
                    PAUSE
                }
            };
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }
}

impl Known {
    pub(super) fn new(paces: Vec<TypePace>, served: Vec<ServedQueue>) -> Self {
        let mut by_queue: HashMap<QueueName, Vec<ServedQueue>> = HashMap::new();
        for one in served {
            by_queue.entry(one.queue.clone()).or_default().push(one);
        }
        Self { paces: paces.into_iter().map(|pace| (pace.name.clone(), pace)).collect(), served: by_queue }
    }

    async fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(Self::new(store.type_paces().await?, store.served_queues().await?))
    }

    /// How long one task of this type occupies a worker of this queue that does nothing else, and at most [`WORK_MAX`];
    /// `None` for one that travels alone.
    pub(super) fn work(&self, queue: &QueueName, name: &TaskName) -> Option<Duration> {
        let pace = self.paces.get(name);
        if pace.is_some_and(|pace| pace.burns_cpu) {
            return None;
        }
        let slots = self.served(queue).iter().map(|one| one.slots).min().unwrap_or(1).max(1);
        let run = pace.and_then(|pace| pace.run);
        Some(run.map_or(WORK_MAX, |run| (run / slots).clamp(TASK_MIN, WORK_MAX)))
    }

    /// How much work each message of this queue may hold, where so much is published at once.
    pub(super) fn budget(&self, queue: &QueueName, total: Duration) -> Duration {
        if Rule::FanOut.is_broken() {
            return Duration::MAX;
        }
        let served = self.served(queue);
        let count = |workers: usize| u32::try_from(workers).unwrap_or(u32::MAX);
        let workers = count(served.len()).max(1);
        let most = (total / workers.saturating_mul(MESSAGES_MIN)).max(WORK_MAX);
        match count(served.iter().filter(|one| one.free > 0).count()) {
            0 => most,
            idle => (total / idle).clamp(WORK_MIN, most),
        }
    }

    /// Free slots of a queue in other sessions than this one.
    pub(super) fn free_beside(&self, queue: &QueueName, session: SessionId) -> usize {
        let others = self.served(queue).iter().filter(|one| one.session != session);
        others.map(|one| usize::try_from(one.free).unwrap_or(usize::MAX)).sum()
    }

    fn served(&self, queue: &QueueName) -> &[ServedQueue] {
        self.served.get(queue).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Workers of the queue `q`, each with so many slots, so many of them free; and task types that run for so many
    /// milliseconds.
    pub(in crate::broker) fn known(workers: &[(u32, u32)], types: &[(&str, f64)]) -> Known {
        let queue: QueueName = "q".parse().unwrap();
        let served = workers.iter().zip(1..).map(|(&(slots, free), session)| {
            let (session, queue) = (SessionId(session), queue.clone());
            ServedQueue { session, queue, slots, free }
        });
        let paces = types.iter().map(|(name, ms)| {
            let run = Some(Duration::from_secs_f64(ms / 1000.0));
            TypePace { name: name.parse().unwrap(), burns_cpu: *name == "cpu", run }
        });
        Known::new(paces.collect(), served.collect())
    }

    /// How many tasks of a type share a message, of so many that are published together.
    fn together(known: &Known, name: &str, count: u32) -> u32 {
        let (queue, name) = ("q".parse().unwrap(), name.parse().unwrap());
        let Some(work) = known.work(&queue, &name) else { return 1 };
        let budget = known.budget(&queue, work * count);
        u32::try_from(budget.as_nanos() / work.as_nanos()).unwrap()
    }

    #[test]
    fn what_is_slow_or_unknown_or_burns_cpu_travels_alone() {
        for workers in [&[(4, 4); 16][..], &[(1, 1); 64], &[(4, 0); 16]] {
            let known = known(workers, &[("slow", 10_000.0), ("cpu", 1.0)]);
            for name in ["slow", "cpu", "unknown"] {
                assert_eq!(together(&known, name, 64), 1, "{name}");
            }
        }
    }

    #[test]
    fn what_is_fast_is_spread_only_where_it_gains() {
        let types = [("fast", 1.0), ("medium", 50.0)];
        let idle = known(&[(4, 4); 16], &types);
        assert_eq!(together(&idle, "medium", 64), 4, "each worker gets its share");
        assert_eq!(together(&idle, "fast", 64), 40, "ten milliseconds of work of a worker");
        let busy = known(&[(4, 0); 16], &types);
        assert_eq!(together(&busy, "medium", 64), 8, "a tenth of a second of work of a worker");
        assert_eq!(together(&busy, "fast", 64), 400);
        assert_eq!(together(&known(&[], &types), "fast", 64), 100, "with nobody there: as for one slot");
    }

    #[test]
    fn a_deep_backlog_fills_larger_messages_and_each_worker_gets_many_of_them() {
        let types = [("slow", 10_000.0), ("cpu", 10_000.0)];
        assert_eq!(together(&known(&[(4, 0); 16], &types), "slow", 1_000), 3);
        assert_eq!(together(&known(&[(4, 0)], &types), "slow", 1_000), 62);
        assert_eq!(together(&known(&[(4, 0)], &types), "cpu", 1_000), 1);
    }

    #[test]
    fn free_slots_are_counted_beside_the_one_that_asks() {
        let known = known(&[(4, 3), (4, 2), (4, 0)], &[]);
        let queue = "q".parse().unwrap();
        assert_eq!(known.free_beside(&queue, SessionId(1)), 2);
        assert_eq!(known.free_beside(&queue, SessionId(0)), 5);
        assert_eq!(known.free_beside(&"other".parse().unwrap(), SessionId(1)), 0);
    }
}
