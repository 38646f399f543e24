//! The relay: publishes what is owed and nobody has published. Runs in every API and in the worker that reconciles; rows are shared
//! among them, because each moves ahead what it takes. What the broker did not take is parked by queue, and tried apart from all else,
//! with growing pauses and a few rows of each queue at a time.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Publisher;
use crate::{
    store::{Store, tasks::Taken},
    telemetry::names,
};

const EVERY: Duration = Duration::from_millis(250);
/// Rows of the outbox at a time: each is what one commit owed, 1 to 1,000 pointers.
const ROWS_MAX: i64 = 64;

/// Between two looks at what is parked, where the last one found nothing.
const PARKED_EVERY: Duration = Duration::from_secs(1);
/// Parked rows of one queue at a time: few, for a full queue refuses most of them.
const PARKED_ROWS_MAX: i64 = 4;

/// Runs until shutdown; in a worker only while it holds the reconcilers' lease.
pub async fn run(
    store: Store,
    publisher: Publisher,
    mut lease: Option<watch::Receiver<bool>>,
    shutdown: CancellationToken,
) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut parked_at = Instant::now();
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        if let Some(lease) = &mut lease
            && !matches!(shutdown.run_until_cancelled(lease.wait_for(|held| *held)).await, Some(Ok(_)))
        {
            return;
        }
        while publisher.is_up() && round(&store, &publisher).await && !shutdown.is_cancelled() {}
        if publisher.is_up() && Instant::now() >= parked_at {
            let some = round_of_parked(&store, &publisher).await;
            parked_at = Instant::now() + if some { EVERY } else { PARKED_EVERY };
        }
    }
}

/// Tries the queues that did not take what was owed to them and whose pause is over; whether there were any.
async fn round_of_parked(store: &Store, publisher: &Publisher) -> bool {
    match store.take_parked(PARKED_ROWS_MAX).await {
        Ok(taken) if taken.is_empty() => false,
        Ok(taken) => publish(store, publisher, taken).await,
        Err(error) => {
            tracing::debug!(%error, "the relay cannot read what is parked");
            false
        }
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
    publish(store, publisher, taken).await
}

/// Publishes what was taken; whether there was anything.
async fn publish(store: &Store, publisher: &Publisher, taken: Taken) -> bool {
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
