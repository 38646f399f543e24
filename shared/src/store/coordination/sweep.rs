//! Forgetting: leases that ended a while ago, and objects that nobody uses. And setting back the time of objects that have seen a
//! time which has not come yet.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::store::{Store, StoreError};

const LEASES: &str = "
    DELETE FROM lease WHERE (object_id, id) IN (
        SELECT object_id, id FROM lease
        WHERE standing IN ('released', 'lost') AND until_ms <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
        ORDER BY until_ms LIMIT $1)";

const ITEMS: &str = "
    DELETE FROM work_item WHERE (object_id, id) IN (
        SELECT object_id, id FROM work_item
        WHERE state IN ('done', 'taken', 'dead') AND until_ms <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
        ORDER BY until_ms LIMIT $1)";

/// Objects without settings of their own, unused for a day. Fences come from a sequence, so they go on rising when such a one
/// is made again.
const OBJECTS: &str = "
    WITH page AS MATERIALIZED (
        SELECT id, clock_ms, configured, generation, flag FROM coordination WHERE id > $1 ORDER BY id LIMIT $2
    ), gone AS (
        DELETE FROM coordination c USING page p
        WHERE c.id = p.id AND (NOT p.configured AND p.generation = 0 AND NOT p.flag AND c.clock_ms = p.clock_ms
            AND c.clock_ms < (extract(epoch FROM statement_timestamp()) * 1000)::bigint - 86400000) IS TRUE
            AND NOT EXISTS (SELECT FROM lease l WHERE l.object_id = c.id)
    )
    SELECT max(id::text) FROM page";

/// The database's clock was ahead, perhaps on a server that was replaced, and an object's own time stands still until the clock has
/// caught up. So the object and all that it holds are moved to now, as if the clock had been right. Less than a minute is waited
/// out.
const LOCK_AHEAD: &str = "
    SELECT id, clock_ms - (extract(epoch FROM statement_timestamp()) * 1000)::bigint FROM coordination
    WHERE id = ANY(ARRAY(SELECT id FROM coordination WHERE id > $1 ORDER BY id LIMIT $2))
        AND (clock_ms > (extract(epoch FROM statement_timestamp()) * 1000)::bigint + 60000) IS TRUE
    ORDER BY id FOR UPDATE SKIP LOCKED";

/// In later statements than the lock, which see all that was written before it.
const SET_BACK: [&str; 3] = [
    "UPDATE lease l SET until_ms = l.until_ms - a.ms, since_ms = l.since_ms - a.ms,
            alarm_ms = CASE WHEN l.alarm_ms > 0 THEN greatest(l.alarm_ms - a.ms, 1) ELSE l.alarm_ms END
        FROM unnest($1::uuid[], $2::bigint[]) AS a(id, ms) WHERE l.object_id = a.id",
    "UPDATE work_item i SET until_ms = i.until_ms - a.ms
        FROM unnest($1::uuid[], $2::bigint[]) AS a(id, ms) WHERE i.object_id = a.id",
    "UPDATE coordination c SET clock_ms = c.clock_ms - a.ms
        FROM unnest($1::uuid[], $2::bigint[]) AS a(id, ms) WHERE c.id = a.id",
];

impl Store {
    /// Removes up to `limit` leases that are to be forgotten; how many there were.
    pub async fn forget_leases(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.lazy().await?;
        let forget = db.prepare_cached(LEASES).await?;
        Ok(db.execute(&forget, &[&limit]).await?)
    }

    /// The same of items that are done or dead.
    pub async fn forget_items(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.lazy().await?;
        let forget = db.prepare_cached(ITEMS).await?;
        Ok(db.execute(&forget, &[&limit]).await?)
    }

    /// Sets back the time of those of the `limit` objects behind this one that are ahead of the database's clock; how many there
    /// were.
    pub async fn set_back_objects(&self, after: Uuid, limit: i64) -> Result<usize, StoreError> {
        let mut db = self.lazy().await?;
        let transaction = db.transaction().await?;
        let lock = transaction.prepare_cached(LOCK_AHEAD).await?;
        let ahead = transaction.query(&lock, &[&after, &limit]).await?;
        let of = |row: &Row| Ok::<(Uuid, i64), StoreError>((row.try_get(0)?, row.try_get(1)?));
        let (ids, ms): (Vec<_>, Vec<_>) = ahead.iter().map(of).collect::<Result<_, _>>()?;
        if ids.is_empty() {
            return Ok(0);
        }
        for statement in SET_BACK {
            let set_back = transaction.prepare_cached(statement).await?;
            transaction.execute(&set_back, &[&ids, &ms]).await?;
        }
        transaction.commit().await?;
        Ok(ids.len())
    }

    /// Looks at the `limit` objects behind this one and removes what nobody uses; where the next page begins, `None` at the
    /// end.
    pub async fn forget_objects(&self, after: Uuid, limit: i64) -> Result<Option<Uuid>, StoreError> {
        let db = self.lazy().await?;
        let forget = db.prepare_cached(OBJECTS).await?;
        let last: Option<String> = db.query_one(&forget, &[&after, &limit]).await?.try_get(0)?;
        Ok(last.and_then(|id| id.parse().ok()))
    }
}
