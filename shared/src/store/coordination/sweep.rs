//! Forgetting: leases that ended a while ago, and objects that nobody uses.

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
        WHERE state IN ('done', 'dead') AND until_ms <= (extract(epoch FROM statement_timestamp()) * 1000)::bigint
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

    /// Looks at the `limit` objects behind this one and removes what nobody uses; where the next page begins, `None` at the
    /// end.
    pub async fn forget_objects(&self, after: Uuid, limit: i64) -> Result<Option<Uuid>, StoreError> {
        let db = self.lazy().await?;
        let forget = db.prepare_cached(OBJECTS).await?;
        let last: Option<String> = db.query_one(&forget, &[&after, &limit]).await?.try_get(0)?;
        Ok(last.and_then(|id| id.parse().ok()))
    }
}
