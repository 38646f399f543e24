//! What runs in this process now, by task and epoch: whom to cancel, whom to stop, who said what of its progress.
//!
//! Invariant: one task and epoch runs at most once in a process, whatever duplicates the broker delivers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use caraway_shared::task::{Epoch, TaskId};
use serde_json::value::RawValue;
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
    /// The same while it waits for a database that does not answer: no fault of its own.
    Stalled,
}

pub(crate) type Key = (TaskId, Epoch);
type Map = HashMap<Key, Arc<Run>>;

struct Run {
    token: CancellationToken,
    stop: Mutex<Option<Stop>>,
    changed: Notify,
    said: Mutex<Said>,
    /// Questions of this run that the database does not answer now.
    stalls: AtomicUsize,
}

/// What a run said of its progress.
#[derive(Default)]
struct Said {
    last: Option<Box<RawValue>>,
    /// Since it was last written.
    is_new: bool,
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
            said: Mutex::default(),
            stalls: AtomicUsize::new(0),
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
    pub(crate) fn said(&self) -> Vec<(TaskId, Epoch, Box<RawValue>)> {
        let map = self.lock();
        map.iter().filter_map(|((id, epoch), run)| Some((*id, *epoch, lock(&run.said).news()?))).collect()
    }

    /// What these runs said could not be written: it is news still.
    pub(crate) fn unwritten(&self, runs: impl IntoIterator<Item = Key>) {
        let map = self.lock();
        for run in runs.into_iter().filter_map(|key| map.get(&key)) {
            lock(&run.said).is_new = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        lock(&self.runs)
    }
}

impl Said {
    fn news(&mut self) -> Option<Box<RawValue>> {
        std::mem::take(&mut self.is_new).then(|| self.last.clone())?
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

    /// Ends it at its hard time limit; tells why.
    pub(crate) fn time_out(&self) -> Stop {
        let stalled = self.run.stalls.load(Ordering::Relaxed) > 0;
        let why = if stalled { Stop::Stalled } else { Stop::TimedOut };
        self.end(why);
        why
    }

    /// Counts a question that the database does not answer, until it is dropped.
    pub(crate) fn stall(&self) -> Stall {
        self.run.stalls.fetch_add(1, Ordering::Relaxed);
        Stall(Arc::clone(&self.run))
    }

    pub(crate) fn say(&self, value: Box<RawValue>) {
        *lock(&self.run.said) = Said { last: Some(value), is_new: true };
    }

    /// What was said last, whether it was written or not: a write may still be under way.
    pub(crate) fn last_word(&self) -> Option<Box<RawValue>> {
        std::mem::take(&mut *lock(&self.run.said)).last
    }
}

/// A question that the database does not answer.
pub(crate) struct Stall(Arc<Run>);

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.stalls.fetch_sub(1, Ordering::Relaxed);
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
        let (id, epoch) = (TaskId(uuid::Uuid::now_v7()), Epoch(1));
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
        let ticket = running.enter(TaskId(uuid::Uuid::now_v7()), Epoch(1)).unwrap();
        running.stop((ticket.id, ticket.epoch), Stop::Cancelled);
        running.stop_all(Stop::Shutdown);
        assert_eq!(ticket.why(), Some(Stop::Cancelled));
    }

    #[test]
    fn news_is_told_once_and_the_last_word_stays() {
        let running = Running::default();
        let ticket = running.enter(TaskId(uuid::Uuid::now_v7()), Epoch(1)).unwrap();
        let told = || running.said().into_iter().map(|(.., value)| value.get().to_owned()).collect::<Vec<_>>();
        let word = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(told().is_empty());
        ticket.say(word("1"));
        ticket.say(word("2"));
        assert_eq!(told(), ["2"]);
        assert!(told().is_empty());
        running.unwritten([(ticket.id, ticket.epoch)]);
        assert_eq!(told(), ["2"]);
        let last = || ticket.last_word().map(|word| word.get().to_owned());
        assert_eq!((last(), last()), (Some("2".into()), None));
    }

    #[test]
    fn who_waits_for_the_database_at_the_limit_is_not_to_blame() {
        for (stalled, why) in [(true, Stop::Stalled), (false, Stop::TimedOut)] {
            let ticket = Running::default().enter(TaskId(uuid::Uuid::now_v7()), Epoch(1)).unwrap();
            let kept = stalled.then(|| ticket.stall());
            drop(ticket.stall());
            assert_eq!((ticket.time_out(), ticket.why()), (why, Some(why)));
            drop(kept);
        }
    }

    #[test]
    fn the_soft_limit_gives_way() {
        let ticket = Running::default().enter(TaskId(uuid::Uuid::now_v7()), Epoch(1)).unwrap();
        ticket.end(Stop::SoftLimit);
        assert!(ticket.token().is_cancelled());
        ticket.end(Stop::Cancelled);
        assert_eq!(ticket.why(), Some(Stop::Cancelled));
    }
}
