//! Retention: walks along the finished tasks, one worker at a time, and removes what is past its time.

use std::{sync::Arc, time::Duration};

use caraway_shared::{
    store::{Keep, StoreError, Walked},
    telemetry::names,
};
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// Tasks in one step. At ten steps a second a walk over a million tasks takes under two minutes and a few per cent of a
/// core.
const ROWS_MAX: i64 = 1000;
const BETWEEN_STEPS: Duration = Duration::from_millis(100);
/// After a whole walk, or while another worker walks.
const BETWEEN_WALKS: Duration = Duration::from_secs(20);
const KEEP: Keep = Keep { ended: 86_400.0, failed: 7.0 * 86_400.0 };

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    loop {
        let pause = match step(&engine).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "what is past its time cannot be removed now");
                BETWEEN_WALKS
            }
        };
        if done.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn step(engine: &Engine) -> Result<Duration, StoreError> {
    match engine.store.retain_step(engine.session_id(), KEEP, ROWS_MAX).await? {
        Walked::Held => Ok(BETWEEN_WALKS),
        Walked::On(gone) => {
            metrics::counter!(names::REMOVED).increment(gone);
            Ok(BETWEEN_STEPS)
        }
        Walked::Over(gone) => {
            metrics::counter!(names::REMOVED).increment(gone);
            engine.store.retain_others(ROWS_MAX).await?;
            while engine.store.retain_workflows(KEEP).await? > 0 {}
            Ok(BETWEEN_WALKS)
        }
    }
}
