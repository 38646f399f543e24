//! The promoter: what is due starts, what is late expires. Sleeps until the next
//! due time, and never longer than half a second, so that no nudge has to arrive: what is accepted while it sleeps, due
//! in half a second or later, is on time all the same; what is due sooner may be late by what is left of that half second.

use std::{sync::Arc, time::Duration};

use caraway_shared::{store::StoreError, telemetry::names};
use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

const SLEEP_MAX: Duration = Duration::from_millis(500);
/// The database's clock decides what is due; asking a moment early would find nothing and ask again at once.
const SLEEP_MIN: Duration = Duration::from_millis(5);
const ROWS_MAX: i64 = 500;
/// Rows of one statement that ends what was not started in time.
const EXPIRED_MAX: i64 = 5000;

pub(super) async fn run(engine: Arc<Engine>, done: CancellationToken) {
    loop {
        if done.run_until_cancelled(engine.lease.held()).await.is_none() {
            return;
        }
        let sleep = match round(&engine).await {
            Ok(next) => next.unwrap_or(SLEEP_MAX).clamp(SLEEP_MIN, SLEEP_MAX),
            Err(error) => {
                tracing::warn!(%error, "the promoter cannot work now");
                SLEEP_MAX
            }
        };
        if done.run_until_cancelled(tokio::time::sleep(sleep)).await.is_none() {
            return;
        }
    }
}

async fn round(engine: &Engine) -> Result<Option<Duration>, StoreError> {
    let next = engine.store.next_due().await?;
    if next.is_none_or(|next| next > Duration::ZERO) {
        return Ok(next);
    }
    // first what is late: it lies before what is due, and would be read past again and again
    while engine.expire().await? >= EXPIRED_MAX.unsigned_abs() {}
    let due = engine.store.promote_due(ROWS_MAX).await?;
    if !due.is_empty() {
        fail::fail_point!("promoter.promoted", |_| std::process::abort());
    }
    metrics::counter!(names::PROMOTED).increment(u64::try_from(due.len()).unwrap_or(0));
    if !due.is_empty() {
        engine.publisher.offer(due);
    }
    engine.store.next_due().await
}

impl Engine {
    async fn expire(&self) -> Result<u64, StoreError> {
        let expired = self.store.expire_due(EXPIRED_MAX).await?;
        metrics::counter!(names::EXPIRED).increment(expired);
        Ok(expired)
    }
}
