//! Accept: the first of a task's three writes. When its commit has returned, the task can no longer be lost.

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use crate::{
    store::Batched,
    task::{Backoff, TaskSpec},
};

/// `publish_after` gives the publisher beside the accept a second; after that a relay takes the row.
const INSERT: &str = "
    INSERT INTO task (id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent,
        state, due_at, publish_after, queued_at, root_id)
    SELECT n.id, n.owner_id, n.name, n.version, n.queue, n.priority, n.max_attempts, n.retry::jsonb, n.timeout_ms,
        n.input, n.traceparent,
        CASE WHEN n.delay IS NULL THEN 'queued' ELSE 'scheduled' END::task_state,
        now() + n.delay * interval '1 second',
        CASE WHEN n.delay IS NULL THEN now() + interval '1 second' END,
        CASE WHEN n.delay IS NULL THEN now() END,
        n.id
    FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::int2[], $7::int4[], $8::text[],
        $9::int8[], $10::bytea[], $11::text[], $12::float8[])
        AS n(id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent, delay)
    RETURNING created_at";

/// The accept writer's statement: inserts, and answers with the time of acceptance.
pub struct Accept;

impl Batched for Accept {
    type Row = TaskSpec;
    type Answer = Timestamp;
    const NAME: &'static str = "accept";
    /// A client that hears "unknown" repeats with its idempotency key; the API must not guess for it.
    const PERSISTENT: bool = false;

    fn key(row: &TaskSpec) -> Uuid {
        row.id.0
    }

    fn bytes(row: &TaskSpec) -> usize {
        row.input.len()
    }

    async fn write(&self, db: &Object, rows: &[&TaskSpec], _again: bool) -> Result<Vec<Timestamp>, PgError> {
        let insert = db.prepare_cached(INSERT).await?;
        let ids: Vec<Uuid> = rows.iter().map(|task| task.id.0).collect();
        let owners: Vec<i64> = rows.iter().map(|task| task.owner.0).collect();
        let names: Vec<&str> = rows.iter().map(|task| task.name.as_str()).collect();
        let versions: Vec<i32> = rows.iter().map(|task| task.version).collect();
        let queues: Vec<&str> = rows.iter().map(|task| task.queue.as_str()).collect();
        let priorities: Vec<i16> = rows.iter().map(|task| task.priority.get().into()).collect();
        let attempts: Vec<i32> = rows.iter().map(|task| task.max_attempts).collect();
        let retries: Vec<Option<String>> = rows.iter().map(|task| backoff_text(&task.backoff)).collect();
        let timeouts: Vec<Option<i64>> = rows
            .iter()
            .map(|task| task.timeout.map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)))
            .collect();
        let inputs: Vec<&[u8]> = rows.iter().map(|task| task.input.as_ref()).collect();
        let traces: Vec<Option<&str>> = rows.iter().map(|task| task.traceparent.as_deref()).collect();
        let delays: Vec<Option<f64>> = rows.iter().map(|task| task.delay.map(|delay| delay.as_secs_f64())).collect();
        let inserted = db
            .query(
                &insert,
                &[
                    &ids,
                    &owners,
                    &names,
                    &versions,
                    &queues,
                    &priorities,
                    &attempts,
                    &retries,
                    &timeouts,
                    &inputs,
                    &traces,
                    &delays,
                ],
            )
            .await?;
        inserted.iter().map(|row| row.try_get(0)).collect()
    }
}

/// NULL where the policy is the default, which nearly all are.
fn backoff_text(backoff: &Backoff) -> Option<String> {
    if *backoff == Backoff::default() { None } else { serde_json::to_string(backoff).ok() }
}
