//! The audit's statements: rows that are marked as published although the broker has no message for them any more.
//! Liberal, because a duplicate pointer is harmless.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::task::{Class, QueueName};

/// Rows younger than this are left alone: their message may be on its way into a worker.
const PUBLISHED_AGE: &str = "30 seconds";
/// From this age on a row is worth a look at its broker queue: the second look then comes when the row is old enough.
const LOOKED_AT_AGE: &str = "15 seconds";
/// A message that came this much later was claimed: the earlier one is gone.
const OVERTAKEN_BY: &str = "60 seconds";

impl Store {
    /// How many rows of a queue and class are marked as published long enough ago that the audit looks, at most `limit`.
    pub async fn count_unclaimed(&self, queue: &QueueName, class: Class, limit: i64) -> Result<i64, StoreError> {
        let (low, high) = priorities(class);
        let db = self.writer().await?;
        let count = db
            .prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT FROM task WHERE queue = $1
                    AND published_at < now() - interval '{LOOKED_AT_AGE}'
                    AND (state = 'queued' AND priority BETWEEN $2 AND $3) IS TRUE LIMIT $4) t"
            ))
            .await?;
        Ok(db.query_one(&count, &[&queue.as_str(), &low, &high, &limit]).await?.try_get(0)?)
    }

    /// Owes again up to `limit` rows of a queue and class that were published longer ago than the audit's age:
    /// all of them, or with `overtaken_by` those that a row queued at that time has overtaken.
    pub async fn owe_again(
        &self,
        queue: &QueueName,
        class: Class,
        overtaken_by: Option<Timestamp>,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let (low, high) = priorities(class);
        let db = self.writer().await?;
        let owe = db
            .prepare_cached(&format!(
                "WITH l AS MATERIALIZED (SELECT id FROM task WHERE queue = $1 AND published_at < now() - interval '{PUBLISHED_AGE}'
                    AND published_at < coalesce($5::timestamptz - interval '{OVERTAKEN_BY}', 'infinity')
                    AND (state = 'queued' AND priority BETWEEN $2 AND $3) IS TRUE ORDER BY published_at LIMIT $4
                    FOR UPDATE SKIP LOCKED)
                 UPDATE task t SET publish_after = now(), published_at = NULL
                 FROM l WHERE t.id = l.id AND (t.state = 'queued') IS TRUE"
            ))
            .await?;
        Ok(db.execute(&owe, &[&queue.as_str(), &low, &high, &limit, &overtaken_by]).await?)
    }
}

fn priorities(class: Class) -> (i16, i16) {
    match class {
        Class::Low => (0, 2),
        Class::Normal => (3, 6),
        Class::High => (7, 9),
    }
}
