//! Queues: those that exist, and what lies in them.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::task::QueueName;

/// What waits is counted along the list index, what runs by the holds.
const VIEW: &str = "
    WITH depth AS (
        SELECT queue, count(*) AS depth, extract(epoch FROM now() - min(queued_at))::float8 AS oldest
        FROM task WHERE shelf = 'queued' AND (state = 'queued') IS TRUE GROUP BY queue
    ), running AS (
        SELECT t.queue, count(*) AS running FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
        JOIN task t ON t.id = i.id AND (t.state = 'running' AND t.session_id = h.session_id) IS TRUE GROUP BY t.queue
    ), served AS (
        SELECT q->>'name' AS queue, count(*) AS workers, sum((q->>'slots')::int) AS slots
        FROM session s, jsonb_array_elements(s.queues) q WHERE NOT s.dead GROUP BY 1
    )
    SELECT q.name, coalesce(d.depth, 0) AS depth, d.oldest, coalesce(r.running, 0) AS running,
        coalesce(s.workers, 0) AS workers, coalesce(s.slots, 0) AS slots
    FROM queue q LEFT JOIN depth d ON d.queue = q.name LEFT JOIN running r ON r.queue = q.name
        LEFT JOIN served s ON s.queue = q.name
    ORDER BY q.name";

/// A queue as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Tasks that wait.
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
        let view = db.prepare_cached(VIEW).await?;
        db.query(&view, &[])
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
