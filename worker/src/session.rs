//! The worker's session: one row, one beat every three seconds, which also brings back orders.
//!
//! Invariant: a session that was declared dead stays dead. What ran under it belongs to somebody else; we ask it to end
//! and open a new session for what comes.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use caraway_shared::{
    store::{BeatAnswer, LoadedQueue, NewSession, StoreError},
    task::SessionId,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{running::Stop, startup::Engine};

/// Watchers need an unchanged beat over fifteen seconds: five missed beats.
const BEAT_EVERY: Duration = Duration::from_secs(3);
/// How soon progress is shown, and the pace of tasks known.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

impl Engine {
    /// Opens a session for this process and claims under it from now on.
    pub(crate) async fn open_session(&self) -> Result<(), StoreError> {
        let new = NewSession {
            name: self.name.clone(),
            host: self.host.clone(),
            slot: self.slot.as_ref().map(|slot| slot.id.clone()),
            replaces: self.slot.as_ref().map(|slot| slot.replaces.clone()).unwrap_or_default(),
            queues: self.load(),
        };
        let id = self.store.open_session(&new).await?;
        self.session.store(id.0, Ordering::Release);
        tracing::info!(session.id = id.0, worker = self.name, "session opened");
        Ok(())
    }

    pub(crate) fn session_id(&self) -> SessionId {
        SessionId(self.session.load(Ordering::Acquire))
    }

    fn load(&self) -> Vec<LoadedQueue> {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let load = |lane: &crate::consume::Lane| {
            let overdue = self.overdue.of(&lane.queue);
            LoadedQueue {
                name: lane.queue.to_string(),
                slots: number(lane.slot_count),
                busy: number(lane.busy()),
                overdue: number(overdue.handlers),
                withheld: number(overdue.withheld),
            }
        };
        self.lanes.iter().map(load).collect()
    }

    async fn beat_once(self: &Arc<Self>, consuming: &CancellationToken) -> Result<(), StoreError> {
        match self.store.beat(self.session_id(), &self.load(), !consuming.is_cancelled()).await? {
            BeatAnswer::Alive { cancelled, drain, reconciles, sighting } => {
                self.lease.told(reconciles);
                self.sightings.send_replace(Some(sighting));
                for key in cancelled {
                    self.running.stop(key, Stop::Cancelled);
                }
                if drain && !consuming.is_cancelled() {
                    tracing::info!("told to drain: no new work is taken");
                    consuming.cancel();
                }
                self.take_untold().await;
                Ok(())
            }
            BeatAnswer::Dead => {
                tracing::warn!(session.id = self.session_id().0, "our session was declared dead; opening a new one");
                self.lease.told(false);
                self.running.stop_all(Stop::Disowned);
                self.open_session().await?;
                self.desk.iter().for_each(|desk| desk.reopened.notify_one());
                Ok(())
            }
        }
    }
}

/// Beats until `done`: beyond the end of consuming, for as long as anything runs.
pub(crate) async fn beat(engine: Arc<Engine>, consuming: CancellationToken, done: CancellationToken) {
    let mut tick = tokio::time::interval(BEAT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = engine.beat_once(&consuming).await {
            tracing::warn!(%error, "a beat was missed");
        }
    }
}

/// Writes what handlers said of their progress, and how long tasks take, until `done`.
pub(crate) async fn progress(engine: Arc<Engine>, done: CancellationToken) {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        let said = engine.running.said();
        let runs: Vec<_> = said.iter().map(|(id, epoch, _)| (*id, *epoch)).collect();
        if !said.is_empty()
            && let Err(error) = engine.store.write_progress(said).await
        {
            tracing::debug!(%error, "progress was not written");
            engine.running.unwritten(runs);
        }
        let paces = engine.registry.paces();
        if !paces.is_empty()
            && let Err(error) = engine.store.tell_run_times(&paces).await
        {
            tracing::debug!(%error, "run times were not written");
            engine.registry.paces_untold(&paces);
        }
    }
}
