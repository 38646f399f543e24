//! The unblocker: what waited behind a unique task is queued when that has ended. And its audit: what waits behind nothing is
//! queued, and told of.

use std::{sync::Arc, time::Duration};

use caraway_shared::{broken::Rule, store::tasks::Owed, telemetry::names};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// The longest that a turn is noticed late. A round with nothing to do reads one small index.
const EVERY: Duration = Duration::from_millis(250);
/// An orphan is a defect, so nothing is lost by finding it late.
const AUDIT_EVERY: Duration = Duration::from_secs(15);
const ROWS_MAX: i64 = 500;

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        if done.run_until_cancelled(engine.lease.held()).await.is_none() {
            return;
        }
        match engine.store.unblock(ROWS_MAX).await {
            Ok(unblocked) => publish(&engine, unblocked, names::UNBLOCKED),
            Err(error) => tracing::warn!(%error, "what waits cannot be looked at now"),
        }
    }
}

pub(super) async fn audit(engine: Arc<Engine>, done: CancellationToken) {
    let mut tick = tokio::time::interval(AUDIT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while done.run_until_cancelled(tick.tick()).await.is_some() {
        if Rule::Audit.is_broken() || !engine.lease.is_held() {
            continue;
        }
        match engine.store.queue_orphans(ROWS_MAX).await {
            Ok(orphans) => {
                for orphan in &orphans {
                    tracing::error!(task.id = %orphan.pointer.id, "a task waited for a unique key that does not know it; it is queued");
                }
                publish(&engine, orphans, names::UNIQUE_ORPHANS);
            }
            Err(error) => tracing::warn!(%error, "the audit of unique tasks cannot work now"),
        }
    }
}

fn publish(engine: &Engine, queued: Vec<Owed>, counter: &'static str) {
    if !queued.is_empty() {
        metrics::counter!(counter).increment(u64::try_from(queued.len()).unwrap_or(0));
        engine.publisher.offer(queued);
    }
}
