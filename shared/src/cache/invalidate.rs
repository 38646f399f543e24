//! The writer's side: what follows a commit that changed an entry.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Cache, Entry, scripts, watch::TRUST};
use crate::{broken::Rule, telemetry::names};

/// Between two tries of a writer whose invalidation was not confirmed.
const PAUSE: Duration = Duration::from_millis(100);
/// More than [`TRUST`]: what a process takes for a second may be a little more here.
const MARGIN: Duration = Duration::from_millis(100);

/// An invalidation that is owed: a row of the outbox, written in the same commit as the change.
#[derive(Clone, Debug)]
pub struct Invalidation {
    /// The row.
    pub id: i64,
    /// What changed.
    pub entry: Entry,
    /// Its version since.
    pub version: i64,
}

impl Cache {
    /// To be called as soon as the commit has returned; when this returns, the change may be answered: nobody who asks from
    /// now on is shown what was before. At once where Redis confirms, else about a second after the call. If it is dropped
    /// before, a relay does the rest, and the change must not be answered.
    pub async fn after_commit(&self, owed: &Invalidation) {
        let until = Instant::now() + TRUST + MARGIN;
        loop {
            if self.invalidate(owed).await {
                return;
            }
            if Rule::CacheOutbox.is_broken() {
                return;
            }
            if Instant::now() + PAUSE >= until {
                metrics::counter!(names::CACHE_UNCONFIRMED).increment(1);
                return sleep_until(until).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether Redis confirmed it; then its row is removed before long. Safe to repeat.
    pub(super) async fn invalidate(&self, owed: &Invalidation) -> bool {
        let invalidate = self.link.ask(async |session| {
            let keys = session.names.entry(&owed.entry, &session.run);
            scripts::invalidate(session, &keys, owed.version).await
        });
        let confirmed = invalidate.await.is_some();
        if confirmed {
            self.settle(owed.id);
        }
        confirmed
    }
}
