//! The outbox of invalidations, seen from every process that reads entries: what is owed to Redis is looked at four times a
//! second, and done if whoever owes it has not.
//!
//! Invariants: `Cache::is_servable` rests on a look that began less than [`TRUST`] ago, counted from before the question
//! went to the database; a look that failed, or found more than it could read, changes nothing or trusts nothing. Any number
//! of processes may replay the same row, because an invalidation does nothing the second time. A row goes when its
//! invalidation was confirmed, and not before.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Cache, Entry, Invalidation};
use crate::{
    broken::Rule,
    store::{OwedInvalidation, Store, StoreError},
    telemetry::names,
};

/// How long a look is good for. Writers wait as long; to change it is to change it in all processes at once.
pub const TRUST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(250);
/// A writer that lives has invalidated by then.
const OVERDUE: Duration = Duration::from_millis(500);
/// Rows of one look; where there are more, nothing is servable.
const ROWS_MAX: i64 = 10_000;
/// Rows that wait to be removed; of more, a relay finds that there is nothing to do.
const SETTLED_MAX: usize = 10_000;

/// What a look found. At first: nothing is known.
#[derive(Default)]
pub(super) struct Outstanding {
    began: Option<Instant>,
    /// What entries must not be older than.
    versions: HashMap<Entry, i64>,
}

/// Looks, and replays, until shutdown.
pub async fn run(cache: Cache, store: Store, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        match cache.look(&store).await {
            Ok(overdue) => cache.replay(&overdue).await,
            Err(error) => {
                tracing::debug!(%error, "the outbox of invalidations cannot be read; no hit is served for now");
            }
        }
    }
}

impl Cache {
    /// Whether a value of this version may be shown to somebody who asked just now.
    pub(super) fn is_servable(&self, entry: &Entry, version: i64) -> bool {
        if Rule::CacheOutbox.is_broken() {
            return true;
        }
        let seen = Arc::clone(&self.entries.outstanding.read().unwrap_or_else(PoisonError::into_inner));
        let is_fresh = seen.began.is_some_and(|began| began.elapsed() < TRUST);
        is_fresh && seen.versions.get(entry).is_none_or(|owed| version >= *owed)
    }

    /// A row whose invalidation was confirmed.
    pub(super) fn settle(&self, id: i64) {
        let mut settled = self.entries.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.len() < SETTLED_MAX {
            settled.push(id);
        }
    }

    /// Removes what is settled, and looks at what is left; what of it is overdue.
    async fn look(&self, store: &Store) -> Result<Vec<Invalidation>, StoreError> {
        let settled = std::mem::take(&mut *self.entries.settled.lock().unwrap_or_else(PoisonError::into_inner));
        let began = Instant::now();
        let rows = match store.owed_invalidations(&settled, ROWS_MAX).await {
            Ok(rows) => rows,
            Err(error) => {
                for id in settled {
                    self.settle(id);
                }
                return Err(error);
            }
        };
        let oldest = rows.iter().map(|row| row.age).max().unwrap_or_default();
        metrics::gauge!(names::CACHE_OUTBOX_AGE).set(oldest.as_secs_f64());
        let is_whole = i64::try_from(rows.len()).is_ok_and(|rows| rows < ROWS_MAX);
        let mut versions = HashMap::with_capacity(rows.len());
        let mut overdue = Vec::new();
        for OwedInvalidation { owed, age } in rows {
            let version = versions.entry(owed.entry.clone()).or_insert(owed.version);
            *version = owed.version.max(*version);
            if age >= OVERDUE {
                overdue.push(owed);
            }
        }
        let seen = Outstanding { began: is_whole.then_some(began), versions };
        *self.entries.outstanding.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(seen);
        Ok(overdue)
    }

    /// Up to the first that Redis does not confirm.
    async fn replay(&self, overdue: &[Invalidation]) {
        for owed in overdue {
            if !self.invalidate(owed).await {
                return;
            }
            metrics::counter!(names::CACHE_REPLAYED).increment(1);
        }
    }
}
