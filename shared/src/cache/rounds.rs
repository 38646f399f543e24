//! Single flight: who asks for one entry at the same time shares a round, which is one look at Redis and, where it must be,
//! one load.
//!
//! Invariants: a caller shares only what began after it came. Who joined a load that runs could be given what was read before
//! a write that was answered before it asked; so whoever comes while a round runs waits for the next one, which all of them
//! share. A round is a task of its own, so a caller that goes away takes nothing from the others. Who waits is bounded.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{Entry, Found, ReadError};
use crate::telemetry::names;

/// Callers of one entry that may wait for its next round; more are refused.
const CALLERS_MAX: usize = 4096;

pub(super) type Answer = Result<Found, ReadError>;
type Callers = Vec<oneshot::Sender<Answer>>;

/// Entries with a round that runs, and who waits for the next one. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Rounds(Arc<Mutex<HashMap<Entry, Callers>>>);

impl Rounds {
    /// The answer of a round that begins after this call. `round` is run where none runs, and again for as long as somebody
    /// waits. Cancel-safe.
    pub(super) async fn join<F>(&self, entry: &Entry, round: impl Fn() -> F + Send + 'static) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.enter(entry, round)?.await.unwrap_or(Err(ReadError::Lost))
    }

    fn enter<F>(
        &self,
        entry: &Entry,
        round: impl Fn() -> F + Send + 'static,
    ) -> Result<oneshot::Receiver<Answer>, ReadError>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let mut all = self.lock();
        if let Some(waiting) = all.get_mut(entry) {
            if waiting.len() >= CALLERS_MAX {
                return Err(ReadError::Busy);
            }
            waiting.push(caller);
            metrics::counter!(names::CACHE_COALESCED).increment(1);
        } else {
            all.insert(entry.clone(), Vec::new());
            let running = Running { rounds: self.clone(), entry: entry.clone(), over: false };
            tokio::spawn(run(running, vec![caller], round));
        }
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Entry, Callers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run<F: Future<Output = Answer>>(mut running: Running, mut callers: Callers, round: impl Fn() -> F + Send) {
    while !callers.is_empty() {
        let answer = round().await;
        for caller in callers {
            let _ = caller.send(answer.clone()); // it may be gone
        }
        callers = running.next();
    }
}

/// An entry in the map. It is taken out when its task ends, however; whoever waits then is told so.
struct Running {
    rounds: Rounds,
    entry: Entry,
    over: bool,
}

impl Running {
    /// Who came meanwhile, and is still there. Nobody: then the entry goes, under the same lock.
    fn next(&mut self) -> Callers {
        let mut all = self.rounds.lock();
        let mut waiting = all.get_mut(&self.entry).map(std::mem::take).unwrap_or_default();
        waiting.retain(|caller| !caller.is_closed());
        if waiting.is_empty() {
            all.remove(&self.entry);
            self.over = true;
        }
        waiting
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.rounds.lock().remove(&self.entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicI64, Ordering},
        time::Duration,
    };

    use tokio::sync::Semaphore;

    use super::*;
    use crate::{cache::How, task::OwnerId};

    fn entry() -> Entry {
        Entry { kind: "test".into(), owner: OwnerId::LOCAL, key: "k".into() }
    }

    fn found(version: i64) -> Found {
        Found { version, body: None, how: How::Off }
    }

    #[tokio::test]
    async fn who_comes_during_a_round_shares_the_next_one() {
        let (rounds, gate, began) = (Rounds::default(), Arc::new(Semaphore::new(0)), Arc::new(AtomicI64::new(0)));
        let join = || {
            let (rounds, gate, began) = (rounds.clone(), Arc::clone(&gate), Arc::clone(&began));
            tokio::spawn(async move {
                let round = move || {
                    let (gate, number) = (Arc::clone(&gate), began.fetch_add(1, Ordering::SeqCst));
                    async move {
                        gate.acquire().await.unwrap().forget();
                        Ok(found(number))
                    }
                };
                rounds.join(&entry(), round).await.unwrap().version
            })
        };
        let first = join();
        while began.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let (later, gone) = ([join(), join(), join()], join());
        while rounds.lock()[&entry()].len() < 4 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), 0);
        for later in later {
            assert_eq!(later.await.unwrap(), 1);
        }
        tokio::time::timeout(Duration::from_secs(5), async {
            while !rounds.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(began.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_round_that_panics_leaves_nobody_waiting() {
        let rounds = Rounds::default();
        let panics = || async { panic!("on purpose") };
        assert!(matches!(rounds.join(&entry(), panics).await, Err(ReadError::Lost)));
        let answer = rounds.join(&entry(), || async { Ok(found(7)) }).await;
        assert_eq!(answer.unwrap().version, 7);
    }
}
