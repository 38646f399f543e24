//! The relay: publishes what is owed and nobody has published. Runs in every API and worker; rows are shared among
//! them, because each moves ahead what it takes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Publisher;
use crate::{store::Store, telemetry::names};

const EVERY: Duration = Duration::from_millis(250);
const ROWS_MAX: i64 = 500;

/// Runs until shutdown.
pub async fn run(store: Store, publisher: Publisher, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        while publisher.is_up() && round(&store, &publisher).await && !shutdown.is_cancelled() {}
    }
}

/// One round; whether there may be more at once.
async fn round(store: &Store, publisher: &Publisher) -> bool {
    let owed = match store.take_owed(ROWS_MAX).await {
        Ok(owed) => owed,
        Err(error) => {
            tracing::debug!(%error, "the relay cannot read what is owed");
            return false;
        }
    };
    if owed.is_empty() {
        return false;
    }
    fail::fail_point!("relay.taken", |_| std::process::abort());
    let count = owed.len();
    metrics::counter!(names::RELAYED).increment(u64::try_from(count).unwrap_or(0));
    tracing::debug!(tasks = count, "the relay publishes what was owed");
    publisher.relay(owed).await && i64::try_from(count) == Ok(ROWS_MAX)
}
