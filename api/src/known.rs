//! What names exist: task types, as workers announced them, and queues. Kept in memory, because every submission asks.
//!
//! Invariants: a miss is answered only by a read that began after the question, so a type is found from the moment its
//! worker has announced it; misses share their reads, so that a client with wrong names cannot load the database.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use caraway_shared::{
    store::{Store, StoreError, TaskType},
    task::{QueueName, TaskName},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    problem::{Code, Problem},
    shared_read::SharedRead,
};

/// How old an answer from memory may be.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Misses read at most this often.
const READ_EVERY: Duration = Duration::from_millis(200);

/// The names. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Known {
    store: Store,
    names: Arc<watch::Sender<Names>>,
    reads: Arc<SharedRead<()>>,
}

#[derive(Default)]
struct Names {
    types: HashMap<TaskName, Arc<TaskType>>,
    queues: HashSet<QueueName>,
}

impl Known {
    /// Knows nothing yet.
    pub(crate) fn new(store: Store) -> Self {
        let names = Arc::new(watch::Sender::new(Names::default()));
        Self { store, names, reads: Arc::new(SharedRead::new(READ_EVERY)) }
    }

    /// Reads now and then until shutdown.
    pub(crate) async fn keep_fresh(self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(REFRESH_EVERY);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            // in turn with all others, so that an older read never takes the place of a newer one
            if let Err(problem) = self.read_since(Instant::now()).await {
                tracing::warn!(%problem, cause = problem.cause(), "task types and queues cannot be read");
            }
        }
    }

    /// A task type, or the problem that there is none.
    pub(crate) async fn task_type(&self, name: &TaskName, asked: Instant) -> Result<Arc<TaskType>, Problem> {
        self.find_task_type(name, asked).await?.ok_or_else(|| self.unknown_task(name))
    }

    /// A task type, if some worker has announced it. `asked` is when the client did: a request that asks for many names
    /// reads at most once.
    pub(crate) async fn find_task_type(
        &self,
        name: &TaskName,
        asked: Instant,
    ) -> Result<Option<Arc<TaskType>>, Problem> {
        let find = || self.names.borrow().types.get(name).cloned();
        if let Some(found) = find() {
            return Ok(Some(found));
        }
        self.read_since(asked).await?;
        Ok(find())
    }

    /// That a queue exists, or the problem that it does not.
    pub(crate) async fn queue(&self, name: &QueueName, asked: Instant) -> Result<(), Problem> {
        let is_known = || self.names.borrow().queues.contains(name);
        if is_known() {
            return Ok(());
        }
        self.read_since(asked).await?;
        if is_known() { Ok(()) } else { Err(self.unknown_queue(name)) }
    }

    /// Returns when a read that began after `asked` is done, whoever did it.
    async fn read_since(&self, asked: Instant) -> Result<(), Problem> {
        // boxed: hardly anybody reads, and everybody who submits would carry the future
        Ok(Box::pin(self.reads.since(asked, self.read())).await?)
    }

    async fn read(&self) -> Result<(), StoreError> {
        let (types, queues) = tokio::try_join!(self.store.task_types(), self.store.queues())?;
        let types = types.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect();
        let queues = queues.into_iter().collect();
        self.names.send_replace(Names { types, queues });
        Ok(())
    }

    fn unknown_task(&self, name: &TaskName) -> Problem {
        let names = self.names.borrow();
        let hint = similar(name.as_str(), names.types.keys().map(TaskName::as_str));
        Problem::new(Code::UnknownTask, format!("no worker has announced the task {name}{hint}"))
    }

    fn unknown_queue(&self, name: &QueueName) -> Problem {
        let names = self.names.borrow();
        let hint = similar(name.as_str(), names.queues.iter().map(QueueName::as_str));
        Problem::new(Code::UnknownQueue, format!("nobody has declared the queue {name}{hint}"))
    }
}

/// "; did you mean …?" where a name is near enough to be a slip of the fingers.
fn similar<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    const NAMES_MAX: usize = 1000;
    let slips_max = wrong.len() / 3 + 1;
    let nearest = names.take(NAMES_MAX).map(|name| (distance(wrong, name), name)).min();
    nearest
        .filter(|(slips, _)| *slips <= slips_max)
        .map(|(_, name)| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// Insertions, deletions and replacements from one to the other (Levenshtein), one row of the table at a time.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (typed, a) in from.bytes().enumerate() {
        let mut diagonal = typed;
        let mut left = typed + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.bytes()) {
            let best = (diagonal + usize::from(a != b)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = typed + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let pairs = [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("add", "add", 0)];
        for (from, to, slips) in pairs {
            assert_eq!(distance(from, to), slips, "{from} {to}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = ["process_image", "add", "echo"];
        assert_eq!(similar("proces_image", names.into_iter()), "; did you mean process_image?");
        assert_eq!(similar("send_mail", names.into_iter()), "");
        assert_eq!(similar("x", [].into_iter()), "");
    }
}
