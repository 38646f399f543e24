//! Where many tasks stand, in one read: for those who wait for many at once.

use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::{OwnerId, State, TaskId},
};

/// Results and errors of as many as have so many bytes together, in the order given, and of the one that reaches beyond. Their
/// lengths are told without reading them.
const STANDINGS: &str = "
    SELECT s.id, s.state::text, s.queue, s.drop_result, s.ended AND s.before >= $3,
        CASE WHEN s.ended AND s.before < $3 THEN s.result END, CASE WHEN s.ended AND s.before < $3 THEN s.error END
    FROM (
        SELECT o.*, sum(o.bytes) OVER (ORDER BY o.place) - o.bytes AS before FROM (
            SELECT w.place, t.id, t.state, t.queue, t.drop_result, t.result, t.error, e.ended,
                CASE WHEN e.ended THEN coalesce(octet_length(t.result), 0) + coalesce(octet_length(t.error), 0) ELSE 0 END AS bytes
            FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, place)
            JOIN task t ON t.id = w.id AND (t.owner_id = $1) IS TRUE
            CROSS JOIN LATERAL (SELECT (t.state IN ('succeeded', 'failed', 'cancelled', 'expired')) IS TRUE AS ended) e
        ) o
    ) s ORDER BY s.place";

/// Where a task stands, and what it left if it has ended.
#[derive(Clone, Debug)]
pub struct TaskStanding {
    /// Which.
    pub id: TaskId,
    /// Where it stands.
    pub state: State,
    /// Its queue.
    pub queue: String,
    /// Whether its result is kept.
    pub store_result: bool,
    /// It has ended, and what it left is not here: it was too much together.
    pub is_cut: bool,
    /// What it returned.
    pub result: Option<Box<RawValue>>,
    /// Of its last attempt that had one.
    pub error: Option<Box<RawValue>>,
}

impl Store {
    /// Where these tasks of an owner stand, in the order given; what is not there is left out. What the ended ones left is read up to
    /// about `bytes`, and not at all where that is 0.
    pub async fn task_standings(
        &self,
        owner: OwnerId,
        ids: &[TaskId],
        bytes: i64,
    ) -> Result<Vec<TaskStanding>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let db = self.lookup().await?;
        let standings = db.prepare_cached(STANDINGS).await?;
        db.query(&standings, &[&owner.0, &ids, &bytes]).await?.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<TaskStanding, StoreError> {
    let word: &str = row.try_get(1)?;
    Ok(TaskStanding {
        id: TaskId(row.try_get(0)?),
        state: word.parse().map_err(|_| StoreError::Data(format!("state {word:?}")))?,
        queue: row.try_get(2)?,
        store_result: !row.try_get::<_, bool>(3)?,
        is_cut: row.try_get(4)?,
        result: json(row, 5)?,
        error: json(row, 6)?,
    })
}

fn json(row: &Row, column: usize) -> Result<Option<Box<RawValue>>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let parse = |bytes| serde_json::from_slice(bytes).map_err(|_| StoreError::Data("a result that is not JSON".into()));
    bytes.map(parse).transpose()
}
