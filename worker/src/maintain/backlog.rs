//! The backlog's rows go when all their tasks have started or ended. Behind everything else: nobody waits for it, and a row that
//! stays too long costs those that count and list a little more reading.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

/// Rows of one step, each a commit's.
const ROWS_MAX: i64 = 500;
/// Between two steps of a walk: at 25 tasks a row, room for more than 100,000 tasks a second.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);
const BETWEEN_WALKS: Duration = Duration::from_secs(1);

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    let mut after = 0;
    loop {
        if done.run_until_cancelled(engine.lease.held()).await.is_none() {
            return;
        }
        let pause = match engine.store.clear_backlog(after, ROWS_MAX).await {
            Ok(Some(next)) => {
                after = next;
                BETWEEN_STEPS
            }
            Ok(None) => {
                after = 0;
                BETWEEN_WALKS
            }
            Err(error) => {
                tracing::warn!(%error, "the backlog cannot be cleared now");
                BETWEEN_WALKS
            }
        };
        if done.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}
