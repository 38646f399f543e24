//! What runs in this process now, by task and epoch: whom to cancel, whom to stop, who said what of its progress.
//!
//! Invariant: one task and epoch runs at most once in a process, whatever duplicates the broker delivers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use caraway_shared::task::{Epoch, TaskId};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why a run should end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Its cancellation was requested.
    Cancelled,
    /// The worker shuts down.
    Shutdown,
    /// Our session was declared dead: the task belongs to somebody else by now.
    Disowned,
    /// Its soft time limit is reached: it is asked, and goes on until the hard one.
    SoftLimit,
    /// Its hard time limit is reached.
    TimedOut,
}

type Key = (TaskId, Epoch);
type Map = HashMap<Key, Arc<Run>>;

struct Run {
    token: CancellationToken,
    stop: Mutex<Option<Stop>>,
    changed: Notify,
    said: Mutex<Option<Value>>,
}

/// Every run of this process. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Running {
    runs: Arc<Mutex<Map>>,
    /// The process ends: what still enters is asked to stop at once.
    ending: Arc<AtomicBool>,
}

impl Running {
    /// Enters a run; `None` if it is there already.
    pub(crate) fn enter(&self, id: TaskId, epoch: Epoch) -> Option<Ticket> {
        let run = Arc::new(Run {
            token: CancellationToken::new(),
            stop: Mutex::new(None),
            changed: Notify::new(),
            said: Mutex::new(None),
        });
        let mut map = self.lock();
        if map.contains_key(&(id, epoch)) {
            return None;
        }
        map.insert((id, epoch), Arc::clone(&run));
        if self.ending.load(Ordering::Acquire) {
            run.end(Stop::Shutdown);
        }
        Some(Ticket { id, epoch, run, entry: Arc::new(Entry { key: (id, epoch), running: self.clone() }) })
    }

    /// How many run.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Asks one run to end, if it is here.
    pub(crate) fn stop(&self, key: Key, why: Stop) {
        if let Some(run) = self.lock().get(&key) {
            run.end(why);
        }
    }

    /// Asks every run to end, and every later one.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.stop_all(Stop::Shutdown);
    }

    /// Asks every run to end.
    pub(crate) fn stop_all(&self, why: Stop) {
        self.lock().values().for_each(|run| run.end(why));
    }

    /// What runs have said since the last time.
    pub(crate) fn said(&self) -> Vec<(TaskId, Epoch, Value)> {
        let map = self.lock();
        map.iter().filter_map(|((id, epoch), run)| Some((*id, *epoch, lock(&run.said).take()?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        lock(&self.runs)
    }
}

impl Run {
    /// The first reason stands; only the soft limit gives way to another.
    fn end(&self, why: Stop) {
        let mut stop = lock(&self.stop);
        if matches!(*stop, None | Some(Stop::SoftLimit)) {
            *stop = Some(why);
            self.changed.notify_waiters();
        }
        self.token.cancel();
    }
}

/// A run's own hold on its entry; the entry goes when the last clone does.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) id: TaskId,
    pub(crate) epoch: Epoch,
    run: Arc<Run>,
    #[expect(dead_code, reason = "held for its drop")]
    entry: Arc<Entry>,
}

impl Ticket {
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.run.token
    }

    pub(crate) fn end(&self, why: Stop) {
        self.run.end(why);
    }

    /// Waits until the run must end, for another reason than its soft limit; why. Cancel-safe.
    pub(crate) async fn stopped(&self) -> Stop {
        loop {
            let changed = self.run.changed.notified();
            if let Some(why) = self.why().filter(|why| *why != Stop::SoftLimit) {
                return why;
            }
            changed.await;
        }
    }

    pub(crate) fn why(&self) -> Option<Stop> {
        *lock(&self.run.stop)
    }

    pub(crate) fn say(&self, value: Value) {
        *lock(&self.run.said) = Some(value);
    }

    /// What was said and not yet written.
    pub(crate) fn unsaid(&self) -> Option<Value> {
        lock(&self.run.said).take()
    }
}

struct Entry {
    key: Key,
    running: Running,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_is_refused_until_the_first_has_gone() {
        let running = Running::default();
        let (id, epoch) = (TaskId::now(), Epoch(1));
        let first = running.enter(id, epoch).unwrap();
        assert!(running.enter(id, epoch).is_none());
        let other = running.enter(id, Epoch(2)).unwrap();
        drop(first);
        assert!(running.enter(id, epoch).is_some());
        assert_eq!(running.count(), 1);
        drop(other);
        assert_eq!(running.count(), 0);
    }

    #[test]
    fn the_first_reason_to_stop_stands() {
        let running = Running::default();
        let ticket = running.enter(TaskId::now(), Epoch(1)).unwrap();
        running.stop((ticket.id, ticket.epoch), Stop::Cancelled);
        running.stop_all(Stop::Shutdown);
        assert_eq!(ticket.why(), Some(Stop::Cancelled));
    }

    #[test]
    fn the_soft_limit_gives_way() {
        let ticket = Running::default().enter(TaskId::now(), Epoch(1)).unwrap();
        ticket.end(Stop::SoftLimit);
        assert!(ticket.token().is_cancelled());
        ticket.end(Stop::Cancelled);
        assert_eq!(ticket.why(), Some(Stop::Cancelled));
    }
}
