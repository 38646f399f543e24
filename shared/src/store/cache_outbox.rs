//! Invalidations that are owed to Redis. Whatever changes an entry writes its row in the same statement; here they are looked
//! at, and removed once Redis has confirmed them.

use std::{borrow::Cow, time::Duration};

use super::{Store, StoreError};
use crate::{
    cache::{Entry, Invalidation},
    task::OwnerId,
};

const LOOK: &str = "
    WITH gone AS (DELETE FROM cache_outbox WHERE id = ANY($1))
    SELECT id, owner_id, kind, key, version, extract(epoch FROM clock_timestamp() - created_at)::float8
    FROM cache_outbox WHERE id <> ALL($1) ORDER BY id LIMIT $2";

/// A row of the outbox.
#[derive(Clone, Debug)]
pub struct OwedInvalidation {
    /// What it says.
    pub owed: Invalidation,
    /// For how long, by the database's clock.
    pub age: Duration,
}

impl Store {
    /// Removes what is `settled`, and reads the oldest `limit` of the rest. Over a connection of its own: however busy the
    /// process is, what it knows of the outbox must not grow old.
    pub async fn owed_invalidations(&self, settled: &[i64], limit: i64) -> Result<Vec<OwedInvalidation>, StoreError> {
        let db = self.beats().await?;
        let look = db.prepare_cached(LOOK).await?;
        let rows = db.query(&look, &[&settled, &limit]).await?;
        rows.iter()
            .map(|row| {
                let (kind, age): (String, f64) = (row.try_get(2)?, row.try_get(5)?);
                let entry = Entry { owner: OwnerId(row.try_get(1)?), kind: Cow::Owned(kind), key: row.try_get(3)? };
                Ok(OwedInvalidation {
                    owed: Invalidation { id: row.try_get(0)?, entry, version: row.try_get(4)? },
                    age: Duration::try_from_secs_f64(age).unwrap_or_default(),
                })
            })
            .collect()
    }
}
