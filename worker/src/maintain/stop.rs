//! The stopper: workflows that are being stopped, because somebody cancelled them or a node failed, are stopped to their end,
//! also where the process that began it has died.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// The longest that a step is waited for. A round with nothing to do reads one small index.
const EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        if done.run_until_cancelled(engine.lease.held()).await.is_none() {
            return;
        }
        while !done.is_cancelled() {
            match engine.store.stop_on().await {
                Ok(Some(ended)) => ended.into_iter().for_each(|id| engine.announcer.ended(id)),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "workflows cannot be stopped now");
                    break;
                }
            }
        }
    }
}
