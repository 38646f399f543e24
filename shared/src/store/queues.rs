//! Queues: those that exist, and what lies in them.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Store, StoreError,
    tasks::{BACKLOG_ROWS_MAX, EXACT_MAX, IS_STILL},
};
use crate::task::QueueName;

/// What waits is counted along the backlog, what runs by the holds. Of a queue's oldest rows each task is looked at; the rest is
/// counted as what the rows had when they were written.
const VIEW: &str = "
    WITH running AS (
        SELECT s.queue, count(*) AS running FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
        JOIN task_run t ON t.id = i.id AND (t.state = 'running' AND t.session_id = h.session_id) IS TRUE
        JOIN task_spec s ON s.id = i.id GROUP BY s.queue
    ), served AS (
        SELECT q->>'name' AS queue, count(*) AS workers, sum((q->>'slots')::int) AS slots
        FROM session s, jsonb_array_elements(s.queues) q WHERE NOT s.dead GROUP BY 1
    )
    SELECT q.name, d.depth, d.oldest, coalesce(r.running, 0) AS running,
        coalesce(s.workers, 0) AS workers, coalesce(s.slots, 0) AS slots
    FROM queue q LEFT JOIN running r ON r.queue = q.name LEFT JOIN served s ON s.queue = q.name
    CROSS JOIN LATERAL (
        WITH b AS MATERIALIZED (
            SELECT c.id, c.queued, c.ids, c.since FROM (VALUES (0::int2), (1::int2), (2::int2)) AS class(number)
            CROSS JOIN LATERAL (SELECT id, queued, ids, since FROM backlog
                WHERE queued AND queue = q.name AND class = class.number ORDER BY queue, class, since LIMIT $2) c
        ), sized AS MATERIALIZED (
            SELECT b.*, sum(cardinality(b.ids)) OVER (ORDER BY b.since, b.id) AS up_to FROM b
        ), exact AS MATERIALIZED (
            SELECT DISTINCT r.id, r.queued_at FROM sized b CROSS JOIN LATERAL unnest(b.ids) AS i(id)
            JOIN task_run r ON r.id = i.id AND {is_still} WHERE b.up_to <= $1
        )
        SELECT (SELECT count(*) FROM exact)
                + (SELECT coalesce(sum(cardinality(b.ids)), 0)::int8 FROM sized b WHERE b.up_to > $1) AS depth,
            extract(epoch FROM now() - coalesce((SELECT min(queued_at) FROM exact),
                (SELECT min(since) FROM sized WHERE up_to > $1)))::float8 AS oldest
    ) d
    ORDER BY q.name";

/// A queue as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Tasks that wait. Exact up to ten thousand, an upper bound above.
    pub depth: i64,
    /// How long the oldest of them has waited, seconds.
    pub oldest_age: Option<f64>,
    /// Tasks that run.
    pub running: i64,
    /// Workers that serve it.
    pub workers: i64,
    /// Their slots for it.
    pub slots: i64,
}

impl Store {
    /// The name of every queue.
    pub async fn queues(&self) -> Result<Vec<QueueName>, StoreError> {
        let db = self.connection().await?;
        let query = db.prepare_cached("SELECT name FROM queue ORDER BY name").await?;
        let rows = db.query(&query, &[]).await?;
        rows.iter()
            .map(|row| {
                let name: &str = row.try_get(0)?;
                name.parse().map_err(|_| StoreError::Data(format!("queue name {name:?}")))
            })
            .collect()
    }

    /// Every queue with what lies in it.
    pub async fn show_queues(&self) -> Result<Vec<QueueView>, StoreError> {
        let db = self.connection().await?;
        let view = db.prepare_cached(&VIEW.replace("{is_still}", IS_STILL)).await?;
        db.query(&view, &[&EXACT_MAX, &BACKLOG_ROWS_MAX])
            .await?
            .iter()
            .map(|row| {
                Ok(QueueView {
                    name: row.try_get("name")?,
                    depth: row.try_get("depth")?,
                    oldest_age: row.try_get("oldest")?,
                    running: row.try_get("running")?,
                    workers: row.try_get("workers")?,
                    slots: row.try_get("slots")?,
                })
            })
            .collect()
    }
}
