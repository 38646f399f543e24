//! The audit's statements: rows that are queued, and owed by nobody, although the broker has no message for them any more.
//! Liberal, because a duplicate pointer is harmless. What was owed again is left alone for as long as what is new.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::task::{Class, QueueName};

/// Rows that were queued later are left alone: their message may be on its way into a worker.
const PUBLISHED_AGE: &str = "30 seconds";
/// From this age on a row is worth a look at its broker queue: the second look then comes when the row is old enough.
const LOOKED_AT_AGE: &str = "15 seconds";
/// A message that came this much later was claimed: the earlier one is gone.
const OVERTAKEN_BY: &str = "60 seconds";

/// While relays are this far behind, nothing is missing: it was not published yet.
const RELAY_BEHIND: &str = "5 seconds";

impl Store {
    /// Whether a queue and class has rows that have been queued for so long that the audit looks. Of one that has parked
    /// rows it is known where they are.
    pub async fn has_unclaimed(&self, queue: &QueueName, class: Class) -> Result<bool, StoreError> {
        let db = self.upkeep().await?;
        let look = db
            .prepare_cached(&format!(
                "SELECT EXISTS (SELECT FROM task WHERE shelf = 'queued' AND queue = $1 AND class = $2
                    AND (state = 'queued' AND coalesce(offered_at, queued_at) < now() - interval '{LOOKED_AT_AGE}') IS TRUE)
                 AND NOT EXISTS (SELECT FROM owed WHERE publish_after < now() - interval '{RELAY_BEHIND}')
                 AND NOT EXISTS (SELECT FROM parked_queue WHERE queue = $1 AND class = $2)"
            ))
            .await?;
        Ok(db.query_one(&look, &[&queue.as_str(), &class.number()]).await?.try_get(0)?)
    }

    /// Owes again up to `limit` rows of a queue and class that were queued longer ago than the audit's age:
    /// all of them, or with `overtaken_by` those that a row queued at that time has overtaken.
    pub async fn owe_again(
        &self,
        queue: &QueueName,
        class: Class,
        overtaken_by: Option<Timestamp>,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let db = self.upkeep().await?;
        let owe = db
            .prepare_cached(&format!(
                "WITH l AS MATERIALIZED (
                    SELECT id FROM task WHERE shelf = 'queued' AND queue = $1 AND class = $2
                        AND (state = 'queued' AND coalesce(offered_at, queued_at) < now() - interval '{PUBLISHED_AGE}'
                            AND coalesce(offered_at, queued_at)
                                < coalesce($4::timestamptz - interval '{OVERTAKEN_BY}', 'infinity')) IS TRUE
                    LIMIT $3 FOR UPDATE SKIP LOCKED
                 ), lost AS (
                    UPDATE task t SET offered_at = now() FROM l WHERE t.id = l.id AND (t.state = 'queued') IS TRUE
                    RETURNING t.id
                 ), debt AS (
                    INSERT INTO owed (publish_after, ids) SELECT now(), array_agg(id) FROM lost HAVING count(*) > 0
                 )
                 SELECT count(*) FROM lost"
            ))
            .await?;
        let lost: i64 =
            db.query_one(&owe, &[&queue.as_str(), &class.number(), &limit, &overtaken_by]).await?.try_get(0)?;
        Ok(lost.unsigned_abs())
    }
}
