//! The relay: publishes what is owed and nobody has published. Runs in every API and worker; rows are shared among
//! them, because each moves ahead what it takes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Publisher;
use crate::{store::Store, telemetry::names};

const EVERY: Duration = Duration::from_millis(250);
/// Rows of the outbox at a time: each is what one commit owed, 1 to 1,000 pointers.
const ROWS_MAX: i64 = 64;

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
    let taken = match store.take_owed(ROWS_MAX).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::debug!(%error, "the relay cannot read what is owed");
            return false;
        }
    };
    fail::fail_point!("relay.taken", |_| std::process::abort());
    if !taken.void.is_empty()
        && let Err(error) = store.pay(&taken.void).await
    {
        tracing::debug!(%error, "the relay cannot remove what nobody owes any more");
    }
    if taken.owed.is_empty() {
        return !taken.void.is_empty();
    }
    let count = taken.owed.len();
    metrics::counter!(names::RELAYED).increment(u64::try_from(count).unwrap_or(0));
    tracing::debug!(tasks = count, "the relay publishes what was owed");
    publisher.relay(taken.owed).await
}
