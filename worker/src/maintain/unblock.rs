//! The unblocker: what waited behind a unique task is queued when that has ended.

use std::{sync::Arc, time::Duration};

use caraway_shared::telemetry::names;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// The longest that a turn is noticed late. A round with nothing to do reads one small index.
const EVERY: Duration = Duration::from_millis(250);
const ROWS_MAX: i64 = 500;

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        match engine.store.unblock(ROWS_MAX).await {
            Ok(unblocked) if unblocked.is_empty() => {}
            Ok(unblocked) => {
                metrics::counter!(names::UNBLOCKED).increment(u64::try_from(unblocked.len()).unwrap_or(0));
                engine.publisher.offer(unblocked);
            }
            Err(error) => tracing::warn!(%error, "what waits cannot be looked at now"),
        }
    }
}
