//! Waiting for tasks to end: thousands of open waits cost one subscription, one timer, and a read each when their task
//! has ended.
//!
//! Invariants: a wait is entered before the row is looked at, so that no end can fall between; wake-ups may be lost, so
//! a timer asks the database for all waited tasks at once; the answer is always read from the row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use caraway_shared::{
    cache::wakeups::listen,
    coordination::Coordination,
    store::{Store, StoreError, tasks::TaskView, workflows::WorkflowView},
    task::{OwnerId, TaskId},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use uuid::Uuid;

use crate::{
    extract::{task_not_found, workflow_not_found},
    problem::Problem,
};

/// How often the database is asked, in case wake-ups are lost.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Ids in one question.
const IDS_MAX: usize = 1000;

/// Who waits for what. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Waiting {
    store: Store,
    /// Ends every wait: the server closes.
    closing: CancellationToken,
    waits: Arc<Mutex<HashMap<TaskId, Weak<Notify>>>>,
}

impl Waiting {
    /// Nobody waits yet.
    pub(crate) fn new(store: Store, closing: CancellationToken) -> Self {
        Self { store, closing, waits: Arc::default() }
    }

    /// The task once it has ended; `None` if it has not after `patience`, or when the server closes.
    pub(crate) async fn until_ended(
        &self,
        owner: OwnerId,
        id: TaskId,
        patience: Duration,
    ) -> Result<Option<TaskView>, Problem> {
        let until = Instant::now() + patience;
        let wait = self.enter(id);
        loop {
            let woken = wait.notified();
            let task = self.store.show_task(owner, id).await?.ok_or_else(task_not_found)?;
            if task.state.is_terminal() {
                return Ok(Some(task));
            }
            tokio::select! {
                woken = timeout_at(until, woken) => if woken.is_err() { return Ok(None) },
                () = self.closing.cancelled() => return Ok(None),
            }
        }
    }

    /// A workflow once it has ended; `None` if it has not after `patience`, or when the server closes. Ids of workflows and of
    /// tasks are never the same, so both wait in one place.
    pub(crate) async fn until_workflow_ended(
        &self,
        owner: OwnerId,
        id: Uuid,
        patience: Duration,
    ) -> Result<Option<WorkflowView>, Problem> {
        let until = Instant::now() + patience;
        let wait = self.enter(TaskId(id));
        loop {
            let woken = wait.notified();
            let workflow = self.store.show_workflow(owner, id).await?.ok_or_else(workflow_not_found)?;
            if workflow.finished_at.is_some() {
                return Ok(Some(workflow));
            }
            tokio::select! {
                woken = timeout_at(until, woken) => if woken.is_err() { return Ok(None) },
                () = self.closing.cancelled() => return Ok(None),
            }
        }
    }

    /// How many wait.
    pub(crate) fn open(&self) -> u32 {
        let waits = self.lock();
        waits.values().map(|wait| u32::try_from(wait.strong_count()).unwrap_or(u32::MAX)).sum()
    }

    /// Hears wake-ups and asks now and then, until shutdown. One subscription serves those who wait for locks too.
    pub(crate) async fn keep_awake(self, redis_url: String, coordination: Coordination, shutdown: CancellationToken) {
        let hear = listen(redis_url, shutdown.clone(), |ids| {
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
    fn enter(&self, id: TaskId) -> Arc<Notify> {
        let mut waits = self.lock();
        if let Some(wait) = waits.get(&id).and_then(Weak::upgrade) {
            return wait;
        }
        let wait = Arc::new(Notify::new());
        waits.insert(id, Arc::downgrade(&wait));
        wait
    }

    /// These have ended.
    pub(crate) fn wake(&self, ids: &[TaskId]) {
        let waits = self.lock();
        for wait in ids.iter().filter_map(|id| waits.get(id)).filter_map(Weak::upgrade) {
            wait.notify_waiters();
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

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Weak<Notify>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
