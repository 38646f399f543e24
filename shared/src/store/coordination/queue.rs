//! Questions about work queues that change nothing.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    coordination::Address,
    store::{Store, StoreError},
};

/// Each by its index; the numbers are made from the items each time.
const COUNTS: &str = "
    SELECT count(*) FILTER (WHERE state = 'ready'), count(*) FILTER (WHERE state = 'delayed'),
        count(*) FILTER (WHERE state = 'leased'),
        (SELECT count(*) FROM work_item d WHERE d.object_id = $1 AND d.state = 'dead')
    FROM work_item WHERE object_id = $1 AND state IN ('ready', 'delayed', 'leased')";

const DEAD: &str = "
    SELECT id, attempt, payload FROM work_item WHERE object_id = $1 AND state = 'dead' AND turn > $2 ORDER BY turn LIMIT $3";

const DEAD_TURN: &str = "SELECT turn FROM work_item WHERE object_id = $1 AND id = $2 AND state = 'dead'";

/// How many items stand where.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct QueueCounts {
    /// To be fetched now.
    pub ready: i64,
    /// To be fetched later.
    pub delayed: i64,
    /// Fetched and not done.
    pub in_flight: i64,
    /// All of these together: what `join` waits for.
    pub unfinished: i64,
    /// Fetched too often without being done; kept for a week.
    pub dead: i64,
}

/// An item that was fetched too often without being done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeadItem {
    /// As it was put in.
    pub item_id: Uuid,
    /// How often it was fetched.
    pub attempts: i32,
    /// As it was put in.
    #[schema(value_type = serde_json::Value)]
    pub payload: Box<RawValue>,
}

impl Store {
    /// How many items of a queue stand where.
    pub async fn queue_counts(&self, queue: &Address) -> Result<QueueCounts, StoreError> {
        let db = self.connection().await?;
        let counts = db.prepare_cached(COUNTS).await?;
        let row = db.query_one(&counts, &[&queue.id()]).await?;
        let (ready, delayed, in_flight): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(QueueCounts { ready, delayed, in_flight, unfinished: ready + delayed + in_flight, dead: row.try_get(3)? })
    }

    /// The next `limit` dead items of a queue behind this one, the oldest first.
    pub async fn dead_items(
        &self,
        queue: &Address,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<DeadItem>, StoreError> {
        let db = self.connection().await?;
        let (turn, dead) = (db.prepare_cached(DEAD_TURN).await?, db.prepare_cached(DEAD).await?);
        let after: i64 = match after {
            Some(item) => {
                db.query_opt(&turn, &[&queue.id(), &item]).await?.map_or(Ok(i64::MAX), |row| row.try_get(0))?
            }
            None => -1,
        };
        let item = |row: &tokio_postgres::Row| {
            let payload: Option<Vec<u8>> = row.try_get(2)?;
            let payload = String::from_utf8(payload.unwrap_or_else(|| b"null".to_vec()));
            let payload = payload.ok().and_then(|text| RawValue::from_string(text).ok());
            let payload = payload.ok_or_else(|| StoreError::Data("a payload that is no JSON".into()))?;
            Ok(DeadItem { item_id: row.try_get(0)?, attempts: row.try_get(1)?, payload })
        };
        db.query(&dead, &[&queue.id(), &after, &limit]).await?.iter().map(item).collect()
    }
}
