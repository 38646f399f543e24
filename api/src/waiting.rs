//! Waiting for tasks to end: thousands of open waits cost one subscription, one timer, and one read when their task has ended.
//!
//! Invariants: a wait is entered before the row is looked at, so that no end can fall between; wake-ups may be lost, so
//! a timer asks the database for all waited tasks at once; the answer is always read from the row, by a read that began after
//! the wait did.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use caraway_shared::{
    cache::{Cache, wakeups::listen},
    coordination::Coordination,
    store::{Store, StoreError, workflows::WorkflowView},
    task::{OwnerId, TaskId},
    telemetry::names,
};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use uuid::Uuid;

use crate::{
    document::{self, Document},
    extract::{task_not_found, workflow_not_found},
    problem::Problem,
    shared_read::SharedRead,
};

/// How often the database is asked, in case wake-ups are lost.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Ids in one question.
const IDS_MAX: usize = 1000;

/// Who waits for what. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Waiting {
    store: Store,
    cache: Cache,
    /// Ends every wait: the server closes.
    closing: CancellationToken,
    waits: Arc<Mutex<HashMap<TaskId, Weak<Wait>>>>,
}

/// What all who wait for one task, or for one workflow, have in common.
#[derive(Default)]
struct Wait {
    moved: Notify,
    task: SharedRead<Look<Arc<Document>>>,
    workflow: SharedRead<Look<WorkflowView>>,
}

/// What was found on whose behalf; nothing where it is another owner's.
type Look<T> = (OwnerId, Option<T>);

impl Waiting {
    /// Nobody waits yet.
    pub(crate) fn new(store: Store, cache: Cache, closing: CancellationToken) -> Self {
        Self { store, cache, closing, waits: Arc::default() }
    }

    /// The task once it has ended; `None` if it has not after `patience`, or when the server closes.
    pub(crate) async fn until_ended(
        &self,
        owner: OwnerId,
        id: TaskId,
        patience: Duration,
    ) -> Result<Option<Arc<Document>>, Problem> {
        let wait = self.enter(id);
        let has_ended = |task: &Arc<Document>| task.view.state.is_terminal();
        let look = async || Ok((owner, document::read(&self.store, &self.cache, owner, id).await?.map(Arc::new)));
        self.until((owner, patience), &wait.moved, &wait.task, has_ended, look).await?.ok_or_else(task_not_found)
    }

    /// A workflow once it has ended; `None` if it has not after `patience`, or when the server closes. Ids of workflows and of
    /// tasks are never the same, so both wait in one place.
    pub(crate) async fn until_workflow_ended(
        &self,
        owner: OwnerId,
        id: Uuid,
        patience: Duration,
    ) -> Result<Option<WorkflowView>, Problem> {
        let wait = self.enter(TaskId(id));
        let has_ended = |workflow: &WorkflowView| workflow.finished_at.is_some();
        let look = async || Ok((owner, self.store.show_workflow(owner, id).await?));
        self.until((owner, patience), &wait.moved, &wait.workflow, has_ended, look)
            .await?
            .ok_or_else(workflow_not_found)
    }

    /// Looks whenever something moved, until it has ended: that, or `Some(None)` if it has not in time. `None` if it is not
    /// there. All who wait share what was read since they came.
    async fn until<T: Clone>(
        &self,
        (owner, patience): (OwnerId, Duration),
        moved: &Notify,
        shared: &SharedRead<Look<T>>,
        has_ended: impl Fn(&T) -> bool,
        look: impl AsyncFn() -> Result<Look<T>, StoreError>,
    ) -> Result<Option<Option<T>>, Problem> {
        let entered = Instant::now();
        let until = entered + patience;
        loop {
            let woken = moved.notified();
            let asked = Instant::now();
            // an end does not change, so it may be one that was read before this look, but not before this wait
            let suits = |began: Instant, found: Option<&Look<T>>| {
                let is_over = found.is_some_and(|(_, found)| found.as_ref().is_some_and(&has_ended));
                found.is_none_or(|(whose, _)| *whose == owner) && (began >= asked || (began >= entered && is_over))
            };
            let counted = async {
                metrics::counter!(names::WAIT_LOOKS).increment(1);
                look().await
            };
            // boxed: most who wait share another's look, and each would carry the future of one
            let looked = Box::pin(shared.suiting(suits, counted));
            let (_, Some(found)) = looked.await? else { return Ok(None) };
            if has_ended(&found) {
                return Ok(Some(Some(found)));
            }
            tokio::select! {
                woken = timeout_at(until, woken) => if woken.is_err() { return Ok(Some(None)) },
                () = self.closing.cancelled() => return Ok(Some(None)),
            }
        }
    }

    /// Waits until at most so many of these tasks are open, as `open` tells by a read, or until `patience` is over or the server
    /// closes. Whatever is woken was announced to have ended, so nothing is read before enough of them are.
    pub(crate) async fn until_few_are_open(
        &self,
        ids: &[TaskId],
        most: usize,
        patience: Duration,
        open: impl AsyncFn() -> Result<HashSet<TaskId>, StoreError>,
    ) -> Result<(), StoreError> {
        let until = Instant::now() + patience;
        let waits: Vec<(TaskId, Arc<Wait>)> = ids.iter().map(|id| (*id, self.enter(*id))).collect();
        loop {
            // each hears from now on, and is looked at after that
            let heard: Vec<_> = waits.iter().map(|(id, wait)| (*id, wait.moved.notified())).collect();
            metrics::counter!(names::WAIT_LOOKS).increment(1);
            let open = open().await?;
            if open.len() <= most {
                return Ok(());
            }
            let still = heard.into_iter().filter(|(id, _)| open.contains(id)).map(|(_, moved)| moved);
            let mut still: FuturesUnordered<_> = still.collect();
            let enough = async {
                while still.len() > most {
                    still.next().await;
                }
            };
            tokio::select! {
                enough = timeout_at(until, enough) => if enough.is_err() { return Ok(()) },
                () = self.closing.cancelled() => return Ok(()),
            }
        }
    }

    /// How many wait; who waits for many tasks counts for each.
    pub(crate) fn open(&self) -> u32 {
        let waits = self.lock();
        waits.values().map(|wait| u32::try_from(wait.strong_count()).unwrap_or(u32::MAX)).sum()
    }

    /// Hears wake-ups and asks now and then, until shutdown. One subscription serves those who wait for locks too.
    pub(crate) async fn keep_awake(self, redis_url: String, coordination: Coordination, shutdown: CancellationToken) {
        let hear = listen(redis_url, self.cache.clone(), shutdown.clone(), |ids| {
            self.wake(ids);
            coordination.wake(ids.iter().map(|id| id.0));
        });
        let ask = async {
            let mut tick = tokio::time::interval(ASK_EVERY);
            while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
                if let Err(error) = self.ask().await {
                    tracing::debug!(%error, "who waits cannot be answered now");
                }
            }
        };
        tokio::join!(hear, ask);
    }

    /// One entry for all who wait for a task; it goes when the last of them does.
    fn enter(&self, id: TaskId) -> Arc<Wait> {
        let mut waits = self.lock();
        if let Some(wait) = waits.get(&id).and_then(Weak::upgrade) {
            return wait;
        }
        let wait = Arc::new(Wait::default());
        waits.insert(id, Arc::downgrade(&wait));
        wait
    }

    /// These have ended.
    pub(crate) fn wake(&self, ids: &[TaskId]) {
        let waits = self.lock();
        for wait in ids.iter().filter_map(|id| waits.get(id)).filter_map(Weak::upgrade) {
            wait.moved.notify_waiters();
        }
    }

    async fn ask(&self) -> Result<(), StoreError> {
        let waited: Vec<TaskId> = {
            let mut waits = self.lock();
            waits.retain(|_, wait| wait.strong_count() > 0);
            waits.keys().copied().collect()
        };
        for ids in waited.chunks(IDS_MAX) {
            self.wake(&self.store.ended_among(ids).await?);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Weak<Wait>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
