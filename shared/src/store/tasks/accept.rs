//! Accept: the first of a task's three writes. When its commit has returned, the task can no longer be lost.

use std::collections::HashMap;

use deadpool_postgres::{GenericClient, Object};
use jiff::Timestamp;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use crate::{
    store::Batched,
    task::{RetryPolicy, Start, State, TaskSpec},
};

/// `publish_after` gives the publisher beside the accept a second; after that a relay takes the row. A start in the
/// past is a start now.
const INSERT: &str = "
    WITH made AS (
    INSERT INTO task (id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent,
        state, due_at, publish_after, queued_at, expires_at, soft_timeout_ms, result_ttl, drop_result, tags, metadata,
        parent_id, batch_id, retry_of, root_id, waiting_reason)
    SELECT n.id, n.owner_id, n.name, n.version, n.queue, n.priority, n.max_attempts, n.retry::jsonb, n.timeout_ms,
        coalesce(n.input, (SELECT o.input FROM task o WHERE o.id = x.retry_of)), n.traceparent,
        CASE WHEN x.waits_for IS NOT NULL THEN 'waiting' WHEN s.start > now() THEN 'scheduled'
            ELSE 'queued' END::task_state,
        CASE WHEN x.waits_for IS NOT NULL THEN NULL WHEN s.start > now() THEN s.start ELSE x.expires_at END,
        CASE WHEN x.waits_for IS NULL AND s.start <= now() THEN now() + interval '1 second' END,
        CASE WHEN x.waits_for IS NULL AND s.start <= now() THEN now() END,
        x.expires_at, (x.soft_timeout * 1000)::int8, x.result_ttl, coalesce(x.drop_result, false),
        coalesce(x.tags, '{}'), x.metadata, x.parent_id, x.batch_id, x.retry_of,
        coalesce((SELECT p.root_id FROM task p WHERE p.id = coalesce(x.parent_id, x.retry_of)
            AND (p.owner_id = n.owner_id) IS TRUE), n.id),
        x.waits_for
    FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::int2[], $7::int4[], $8::text[],
        $9::int8[], $10::bytea[], $11::text[], $12::float8[], $13::timestamptz[], $14::text[])
        AS n(id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent, delay,
            run_at, extra)
    CROSS JOIN LATERAL (SELECT coalesce(n.run_at, now() + n.delay * interval '1 second', now()) AS start) s
    LEFT JOIN LATERAL jsonb_to_record(n.extra::jsonb) AS x(expires_at timestamptz, soft_timeout float8,
        result_ttl float8, drop_result bool, tags text[], metadata jsonb, parent_id uuid, batch_id uuid, retry_of uuid,
        waits_for text) ON n.extra IS NOT NULL
    RETURNING id, owner_id, state, created_at, due_at, root_id, tags
    ), tagged AS (
        INSERT INTO task_tag SELECT owner_id, unnest(tags), id FROM made WHERE tags <> '{}'
    )
    SELECT id, state::text, created_at, CASE WHEN state = 'scheduled' THEN due_at END, root_id FROM made";

/// What the database made of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// `queued`, `scheduled` or `waiting`.
    pub state: State,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is due, if it is not at once.
    pub run_at: Option<Timestamp>,
    /// The first task of its line.
    pub root_id: Uuid,
}

/// The accept writer's statement.
pub struct Accept;

impl Batched for Accept {
    type Row = TaskSpec;
    type Answer = Accepted;
    const NAME: &'static str = "accept";
    /// A client that hears "unknown" repeats with its idempotency key; the API must not guess for it.
    const PERSISTENT: bool = false;

    fn key(row: &TaskSpec) -> Uuid {
        row.id.0
    }

    fn bytes(row: &TaskSpec) -> usize {
        row.input.len()
    }

    async fn write(&self, db: &mut Object, rows: &[&TaskSpec], _again: bool) -> Result<Vec<Accepted>, PgError> {
        insert(&*db, rows).await
    }
}

/// Inserts tasks, and answers for each in order.
pub(super) async fn insert(db: &impl GenericClient, tasks: &[&TaskSpec]) -> Result<Vec<Accepted>, PgError> {
    let statement = db.prepare_cached(INSERT).await?;
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.id.0).collect();
    let owners: Vec<i64> = tasks.iter().map(|task| task.owner.0).collect();
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let versions: Vec<i32> = tasks.iter().map(|task| task.version).collect();
    let queues: Vec<&str> = tasks.iter().map(|task| task.queue.as_str()).collect();
    let priorities: Vec<i16> = tasks.iter().map(|task| task.priority.get().into()).collect();
    let attempts: Vec<i32> = tasks.iter().map(|task| task.max_attempts).collect();
    let retries: Vec<Option<String>> = tasks.iter().map(|task| policy_text(&task.retry)).collect();
    let timeouts: Vec<Option<i64>> = tasks
        .iter()
        .map(|task| task.timeout.map(|limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)))
        .collect();
    let inputs: Vec<Option<&[u8]>> =
        tasks.iter().map(|task| Some(task.input.as_ref()).filter(|input| !input.is_empty())).collect();
    let traces: Vec<Option<&str>> = tasks.iter().map(|task| task.traceparent.as_deref()).collect();
    let delays: Vec<Option<f64>> = tasks.iter().map(|task| delay(task.start)).collect();
    let times: Vec<Option<Timestamp>> = tasks.iter().map(|task| run_at(task.start)).collect();
    let extras: Vec<Option<String>> = tasks.iter().map(|task| task.extra.to_json()).collect();
    let rows = db
        .query(
            &statement,
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
                &times,
                &extras,
            ],
        )
        .await?;
    let made: HashMap<Uuid, Accepted> = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(ids.iter().filter_map(|id| made.get(id).copied()).collect())
}

fn read(row: &Row) -> Result<(Uuid, Accepted), PgError> {
    let state = row.try_get::<_, &str>(1)?.parse().unwrap_or(State::Queued);
    let accepted = Accepted { state, created_at: row.try_get(2)?, run_at: row.try_get(3)?, root_id: row.try_get(4)? };
    Ok((row.try_get(0)?, accepted))
}

fn delay(start: Start) -> Option<f64> {
    if let Start::After(delay) = start { Some(delay.as_secs_f64()) } else { None }
}

fn run_at(start: Start) -> Option<Timestamp> {
    if let Start::At(time) = start { Some(time) } else { None }
}

/// NULL where the policy is the default, which nearly all are.
fn policy_text(policy: &RetryPolicy) -> Option<String> {
    if *policy == RetryPolicy::default() { None } else { serde_json::to_string(policy).ok() }
}
