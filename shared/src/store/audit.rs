//! The audit's statements: rows that are queued, and owed by nobody, although the broker has no message for them any more.
//! Liberal, because a duplicate pointer is harmless. What was owed again is left alone for as long as what is new: its row of the
//! backlog is as young as that.

use jiff::Timestamp;
use tokio_postgres::Row;

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

/// Rows of the backlog whose tasks are looked at for one that was queued for so long. Those in front are the oldest, and rows
/// that are over go within seconds.
const LOOKED_AT_ROWS: i64 = 200;

const UNCLAIMED: &str = "
    SELECT q.name, c.class FROM (SELECT DISTINCT name FROM queue) q CROSS JOIN (VALUES (0::int2), (1::int2), (2::int2)) c(class)
    WHERE NOT EXISTS (SELECT FROM owed WHERE publish_after < now() - interval '{behind}')
        AND NOT EXISTS (SELECT FROM parked_queue p WHERE p.queue = q.name AND p.class = c.class)
        AND EXISTS (SELECT FROM (
                SELECT ids FROM backlog WHERE queued AND queue = q.name AND class = c.class AND since < now() - interval '{age}'
                ORDER BY queue, class, since LIMIT $1) b
            CROSS JOIN LATERAL unnest(b.ids) AS i(id) JOIN task_run r ON r.id = i.id
                AND (r.state = 'queued' AND coalesce(r.offered_at, r.queued_at) < now() - interval '{age}') IS TRUE)";

/// A row is marked, and not its tasks: so a step costs little however many tasks it owes, and the next one begins behind it.
const OWE_AGAIN: &str = "
    WITH b AS MATERIALIZED (
        SELECT id, ids FROM backlog WHERE queued AND queue = $1 AND class = $2 AND since < now() - interval '{age}'
            AND since < coalesce($4::timestamptz - interval '{overtaken}', 'infinity')
        ORDER BY queue, class, since LIMIT $3 FOR UPDATE SKIP LOCKED
    ), marked AS (
        UPDATE backlog w SET since = now() FROM b WHERE w.id = b.id
    ), lost AS MATERIALIZED (
        SELECT DISTINCT ON (r.id) r.id, b.id AS row FROM b CROSS JOIN LATERAL unnest(b.ids) AS i(id)
        JOIN task_run r ON r.id = i.id AND (r.state = 'queued'
            AND coalesce(r.offered_at, r.queued_at) < now() - interval '{age}'
            AND coalesce(r.offered_at, r.queued_at)
                < coalesce($4::timestamptz - interval '{overtaken}', 'infinity')) IS TRUE
    ), debt AS (
        INSERT INTO owed (publish_after, ids) SELECT now(), array_agg(id) FROM lost GROUP BY row ORDER BY row
    )
    SELECT (SELECT count(*) FROM lost), (SELECT count(*) FROM b)";

impl Store {
    /// The queues and classes that have tasks which have been queued for so long that the audit looks. Of those that have parked
    /// rows it is known where they are.
    pub async fn unclaimed(&self) -> Result<Vec<(QueueName, Class)>, StoreError> {
        let db = self.upkeep().await?;
        let look = UNCLAIMED.replace("{age}", LOOKED_AT_AGE).replace("{behind}", RELAY_BEHIND);
        let read = |row: &Row| {
            let (queue, number): (&str, i16) = (row.try_get(0)?, row.try_get(1)?);
            let class = Class::ALL.into_iter().find(|class| class.number() == number);
            let queue = queue.parse().map_err(|_| StoreError::Data(format!("queue name {queue:?}")))?;
            Ok((queue, class.ok_or_else(|| StoreError::Data(format!("class {number}")))?))
        };
        db.query(&db.prepare_cached(&look).await?, &[&LOOKED_AT_ROWS]).await?.iter().map(read).collect()
    }

    /// Owes again the tasks of up to `rows` rows of the backlog of a queue and class, the oldest first: those that were queued
    /// longer ago than the audit's age, all of them, or with `overtaken_by` those that a task queued at that time has overtaken.
    pub async fn owe_again(
        &self,
        queue: &QueueName,
        class: Class,
        overtaken_by: Option<Timestamp>,
        rows: i64,
    ) -> Result<OwedAgain, StoreError> {
        let db = self.upkeep().await?;
        let owe = OWE_AGAIN.replace("{age}", PUBLISHED_AGE).replace("{overtaken}", OVERTAKEN_BY);
        let owe = db.prepare_cached(&owe).await?;
        let row = db.query_one(&owe, &[&queue.as_str(), &class.number(), &rows, &overtaken_by]).await?;
        let (tasks, seen): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(OwedAgain { tasks: tasks.unsigned_abs(), is_through: seen < rows })
    }
}

/// What one step of the audit did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwedAgain {
    /// Tasks that are owed again.
    pub tasks: u64,
    /// There is no older row left.
    pub is_through: bool,
}
