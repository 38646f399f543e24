//! The sweep: uploads that nobody will finish, because their API died, are removed with what they had stored.

use std::{sync::Arc, time::Duration};

use caraway_shared::telemetry::names;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// A round with nothing to do reads one small index.
const EVERY: Duration = Duration::from_secs(15);
/// Each may hold as much as an item may; more wait for the next round.
const UPLOADS_MAX: i64 = 20;

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        if done.run_until_cancelled(engine.lease.held()).await.is_none() {
            return;
        }
        match engine.store.sweep_uploads(UPLOADS_MAX).await {
            Ok(0) => {}
            Ok(swept) => {
                metrics::counter!(names::UPLOADS_SWEPT).increment(swept);
                tracing::warn!(uploads = swept, "uploads that nobody finished are removed");
            }
            Err(error) => tracing::warn!(%error, "unfinished uploads cannot be removed now"),
        }
    }
}
