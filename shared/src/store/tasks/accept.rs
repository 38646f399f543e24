//! Accept: the first of a task's three writes. When its commit has returned, the task can no longer be lost; what it owes
//! the broker is a row of the outbox, in the same statement.

use std::{collections::HashMap, sync::Arc};

use deadpool_postgres::{GenericClient, Object};
use jiff::Timestamp;
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use super::{
    Debt, HoldId, Owed, Takers,
    hand_over::{INSERT_HANDED, INSERT_HANDED_EXTRA, Shares, limits_ms},
};
use crate::{
    store::Batched,
    task::{RetryPolicy, SessionId, Start, State, TaskSpec},
};

/// For what nearly all tasks are: due now, with nothing special. All of them are queued, so one line answers for all.
const INSERT_PLAIN: &str = "
    WITH n AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::int2[], $7::int4[], $8::text[],
            $9::int8[], $10::bytea[], $11::text[], $12::uuid[], $13::int2[])
            AS n(id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent, batch_id,
                class)
    ), spec AS (
        INSERT INTO task_spec (id, owner_id, name, version, queue, priority, class, max_attempts, retry, timeout_ms, input,
            traceparent, batch_id)
        SELECT id, owner_id, name, version, queue, priority, class, max_attempts, retry::jsonb, timeout_ms, input, traceparent,
            batch_id FROM n
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, queued_at) SELECT id, owner_id, 'queued', now() FROM n
    ), listed AS (
        INSERT INTO backlog (owner_id, queue, class, queued, ids)
        SELECT owner_id, queue, class, true, array_agg(id) FROM n GROUP BY owner_id, queue, class
    )
    INSERT INTO owed (ids) VALUES ($1) RETURNING id AS debt, now() AS created_at";

/// A start in the past is a start now.
const INSERT: &str = "
    WITH n AS MATERIALIZED (
        SELECT n.id, n.owner_id, n.name, n.version, n.queue, n.priority, n.max_attempts, n.retry, n.timeout_ms, n.traceparent,
            n.batch_id, n.class,
            coalesce(n.input, (SELECT o.input FROM task_spec o WHERE o.id = x.retry_of)) AS input,
            CASE WHEN x.waits_for IS NOT NULL THEN 'waiting' WHEN s.start > now() THEN 'scheduled'
                ELSE 'queued' END::task_state AS state,
            CASE WHEN x.waits_for IS NOT NULL THEN NULL WHEN s.start > now() THEN least(s.start, x.expires_at)
                ELSE x.expires_at END AS due_at,
            CASE WHEN x.waits_for IS NULL AND s.start > now() AND s.start > x.expires_at THEN s.start END AS run_at,
            x.expires_at, (x.soft_timeout * 1000)::int8 AS soft_timeout_ms, x.result_ttl,
            coalesce(x.drop_result, false) AS drop_result, coalesce(x.tags, '{}') AS tags, x.metadata, x.parent_id, x.retry_of,
            (SELECT coalesce(p.root_id, p.id) FROM task_spec p WHERE p.id = coalesce(x.parent_id, x.retry_of)
                AND (p.owner_id = n.owner_id) IS TRUE) AS root_id,
            x.waits_for, x.workflow_id, x.node
        FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::int2[], $7::int4[], $8::text[],
            $9::int8[], $10::bytea[], $11::text[], $12::uuid[], $13::int2[], $14::float8[], $15::timestamptz[], $16::text[])
            AS n(id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent, batch_id,
                class, delay, run_at, extra)
        CROSS JOIN LATERAL (SELECT coalesce(n.run_at, now() + n.delay * interval '1 second', now()) AS start) s
        LEFT JOIN LATERAL jsonb_to_record(n.extra::jsonb) AS x(expires_at timestamptz, soft_timeout float8,
            result_ttl float8, drop_result bool, tags text[], metadata text, parent_id uuid, retry_of uuid,
            waits_for text, workflow_id uuid, node int4) ON n.extra IS NOT NULL
    ), spec AS (
        INSERT INTO task_spec (id, owner_id, name, version, queue, priority, class, max_attempts, retry, timeout_ms, input,
            traceparent, batch_id, expires_at, soft_timeout_ms, result_ttl, drop_result, tags, metadata, parent_id, retry_of,
            root_id, workflow_id, node)
        SELECT id, owner_id, name, version, queue, priority, class, max_attempts, retry::jsonb, timeout_ms, input,
            traceparent, batch_id, expires_at, soft_timeout_ms, result_ttl, drop_result, tags, metadata, parent_id, retry_of,
            root_id, workflow_id, node FROM n
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, due_at, run_at, queued_at, waiting_reason, flags)
        SELECT id, owner_id, state, due_at, run_at, CASE WHEN state = 'queued' THEN now() END, waits_for,
            CASE WHEN workflow_id IS NULL THEN 0 ELSE 1 END + CASE WHEN drop_result THEN 2 ELSE 0 END FROM n
    ), tagged AS (
        INSERT INTO task_tag SELECT owner_id, unnest(tags), id FROM n WHERE tags <> '{}'
    ), listed AS (
        INSERT INTO backlog (owner_id, queue, class, queued, ids)
        SELECT owner_id, queue, class, state = 'queued', array_agg(id) FROM n
        GROUP BY owner_id, queue, class, state = 'queued'
    ), debt AS (
        INSERT INTO owed (ids) SELECT array_agg(id) FROM n WHERE state = 'queued' HAVING count(*) > 0 RETURNING id
    )
    SELECT id, state::text, now() AS created_at, CASE WHEN state = 'scheduled' THEN greatest(due_at, run_at) END,
        coalesce(root_id, id), (SELECT id FROM debt) AS debt
    FROM n";

/// What the database made of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// `queued`, `scheduled` or `waiting`; `running` if it was handed over.
    pub state: State,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is due, if it is not at once.
    pub run_at: Option<Timestamp>,
    /// The first task of its line.
    pub root_id: Uuid,
    /// The outbox row of its commit, if anything in it is queued.
    pub debt: Option<Debt>,
}

/// What is told of queued tasks as soon as their commit has returned: the door to the publisher. It must not wait.
pub type Offer = Box<dyn Fn(Vec<Owed>) + Send + Sync>;

/// The accept writer's statement.
pub struct Accept {
    /// Where to offer what was accepted.
    pub offer: Offer,
    /// Who takes over what is accepted.
    pub takers: Box<dyn Takers>,
}

impl Batched for Accept {
    type Row = Arc<TaskSpec>;
    type Answer = Accepted;
    const NAME: &'static str = "accept";
    /// A client that hears "unknown" repeats with its idempotency key; the API must not guess for it.
    const PERSISTENT: bool = false;

    fn key(row: &Arc<TaskSpec>) -> Uuid {
        row.id.0
    }

    fn bytes(row: &Arc<TaskSpec>) -> usize {
        row.input.len()
    }

    async fn write(&self, db: &mut Object, rows: &[&Arc<TaskSpec>], _again: bool) -> Result<Vec<Accepted>, PgError> {
        #[cfg(feature = "failpoints")]
        crate::store::schema::drill::read_old_column(db).await?;
        let rows: Vec<&TaskSpec> = rows.iter().map(AsRef::as_ref).collect();
        let accepted = self.insert(db, &rows).await?;
        fail::fail_point!("api.accept.committed", |_| std::process::abort());
        (self.offer)(owed(&rows, &accepted));
        Ok(accepted)
    }
}

impl Accept {
    /// Inserts all of them in one commit: some as running in the sessions that take them, the others as queued.
    async fn insert(&self, db: &mut Object, tasks: &[&TaskSpec]) -> Result<Vec<Accepted>, PgError> {
        let shares = Shares::of(tasks, self.takers.as_ref());
        let (accepted, handed) = match (shares.takers.as_slice(), shares.nobody.is_empty()) {
            ([], _) => return insert(&*db, tasks).await,
            // nearly always: one statement is a transaction
            ([(session, _)], true) => match insert_handed(&*db, tasks, *session).await? {
                Some((accepted, hold)) => (accepted, vec![(*session, hold)]),
                None => return insert(&*db, tasks).await,
            },
            _ => insert_shares(db, tasks, &shares).await?,
        };
        fail::fail_point!("api.accept.handed", |_| std::process::abort());
        for (session, hold) in handed {
            self.takers.handed(session, hold);
        }
        Ok(accepted)
    }
}

/// What these tasks owe the broker.
pub(in crate::store) fn owed(tasks: &[&TaskSpec], accepted: &[Accepted]) -> Vec<Owed> {
    tasks.iter().zip(accepted).filter_map(|(task, accepted)| Owed::accepted(task, accepted)).collect()
}

/// Inserts tasks, and answers for each in order.
pub(in crate::store) async fn insert(db: &impl GenericClient, tasks: &[&TaskSpec]) -> Result<Vec<Accepted>, PgError> {
    let columns = Columns::of(tasks);
    if tasks.iter().all(|task| is_plain(task)) {
        insert_plain(db, &columns).await
    } else {
        insert_any(db, tasks, &columns).await
    }
}

/// Due now, and without anything that few tasks have.
fn is_plain(task: &TaskSpec) -> bool {
    task.start == Start::Now && task.extra.is_empty()
}

/// The columns that every task has.
struct Columns<'a> {
    ids: Vec<Uuid>,
    owners: Vec<i64>,
    names: Vec<&'a str>,
    versions: Vec<i32>,
    queues: Vec<&'a str>,
    priorities: Vec<i16>,
    attempts: Vec<i32>,
    retries: Vec<Option<String>>,
    timeouts: Vec<Option<i64>>,
    /// NULL for one that repeats another: the database has it.
    inputs: Vec<Option<&'a [u8]>>,
    traces: Vec<Option<&'a str>>,
    batches: Vec<Option<Uuid>>,
    classes: Vec<i16>,
}

impl<'a> Columns<'a> {
    fn of(tasks: &[&'a TaskSpec]) -> Self {
        let ms = |limit: std::time::Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        Self {
            ids: tasks.iter().map(|task| task.id.0).collect(),
            owners: tasks.iter().map(|task| task.owner.0).collect(),
            names: tasks.iter().map(|task| task.name.as_str()).collect(),
            versions: tasks.iter().map(|task| task.version).collect(),
            queues: tasks.iter().map(|task| task.queue.as_str()).collect(),
            priorities: tasks.iter().map(|task| task.priority.get().into()).collect(),
            attempts: tasks.iter().map(|task| task.max_attempts).collect(),
            retries: tasks.iter().map(|task| policy_text(&task.retry)).collect(),
            timeouts: tasks.iter().map(|task| task.timeout.map(ms)).collect(),
            inputs: tasks.iter().map(|task| Some(task.input.as_ref()).filter(|input| !input.is_empty())).collect(),
            traces: tasks.iter().map(|task| task.traceparent.as_deref()).collect(),
            batches: tasks.iter().map(|task| task.extra.batch_id).collect(),
            classes: tasks.iter().map(|task| task.priority.class().number()).collect(),
        }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.owners,
            &self.names,
            &self.versions,
            &self.queues,
            &self.priorities,
            &self.attempts,
            &self.retries,
            &self.timeouts,
            &self.inputs,
            &self.traces,
            &self.batches,
            &self.classes,
        ]
    }
}

async fn insert_plain(db: &impl GenericClient, columns: &Columns<'_>) -> Result<Vec<Accepted>, PgError> {
    let statement = db.prepare_cached(INSERT_PLAIN).await?;
    let row = db.query_one(&statement, &columns.parameters()).await?;
    let (debt, created_at) = (Some(Debt(row.try_get("debt")?)), row.try_get("created_at")?);
    let made = |id: &Uuid| Accepted { state: State::Queued, created_at, run_at: None, root_id: *id, debt };
    Ok(columns.ids.iter().map(made).collect())
}

/// Inserts tasks as running in this session; nothing is inserted where it takes nothing any more.
async fn insert_handed(
    db: &impl GenericClient,
    tasks: &[&TaskSpec],
    session: SessionId,
) -> Result<Option<(Vec<Accepted>, HoldId)>, PgError> {
    let columns = Columns::of(tasks);
    let extras: Vec<Option<String>> = tasks.iter().map(|task| task.extra.to_json()).collect();
    let is_plain = extras.iter().all(Option::is_none);
    let statement = db.prepare_cached(if is_plain { INSERT_HANDED } else { INSERT_HANDED_EXTRA }).await?;
    let (limit_max, grace) = limits_ms();
    let first_limit = columns.timeouts.iter().flatten().min().copied();
    let mut parameters = columns.parameters();
    let rest: [&(dyn ToSql + Sync); 4] = [&session.0, &first_limit, &limit_max, &grace];
    parameters.extend(rest);
    if !is_plain {
        parameters.push(&extras);
    }
    let Some(row) = db.query_opt(&statement, &parameters).await? else { return Ok(None) };
    let created_at = row.try_get("created_at")?;
    let made = |id: &Uuid| Accepted { state: State::Running, created_at, run_at: None, root_id: *id, debt: None };
    Ok(Some((columns.ids.iter().map(made).collect(), HoldId(row.try_get("hold")?))))
}

/// The same for several takers, and for tasks that nobody takes, in one transaction.
async fn insert_shares(
    db: &mut Object,
    tasks: &[&TaskSpec],
    shares: &Shares,
) -> Result<(Vec<Accepted>, Vec<(SessionId, HoldId)>), PgError> {
    let transaction = db.transaction().await?;
    let (mut nobody, mut handed, mut accepted) = (shares.nobody.clone(), Vec::new(), Vec::new());
    let pick = |places: &[usize]| places.iter().filter_map(|place| tasks.get(*place).copied()).collect::<Vec<_>>();
    for (session, places) in &shares.takers {
        match insert_handed(&transaction, &pick(places), *session).await? {
            None => nobody.extend(places),
            Some((made, hold)) => {
                handed.push((*session, hold));
                accepted.extend(places.iter().copied().zip(made));
            }
        }
    }
    if !nobody.is_empty() {
        let made = insert(&transaction, &pick(&nobody)).await?;
        accepted.extend(nobody.into_iter().zip(made));
    }
    transaction.commit().await?;
    accepted.sort_by_key(|(place, _)| *place);
    Ok((accepted.into_iter().map(|(_, accepted)| accepted).collect(), handed))
}

async fn insert_any(
    db: &impl GenericClient,
    tasks: &[&TaskSpec],
    columns: &Columns<'_>,
) -> Result<Vec<Accepted>, PgError> {
    let statement = db.prepare_cached(INSERT).await?;
    let delays: Vec<Option<f64>> = tasks.iter().map(|task| delay(task.start)).collect();
    let times: Vec<Option<Timestamp>> = tasks.iter().map(|task| run_at(task.start)).collect();
    let extras: Vec<Option<String>> = tasks.iter().map(|task| task.extra.to_json()).collect();
    let mut parameters = columns.parameters();
    let rest: [&(dyn ToSql + Sync); 3] = [&delays, &times, &extras];
    parameters.extend(rest);
    let rows = db.query(&statement, &parameters).await?;
    let made: HashMap<Uuid, Accepted> = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(columns.ids.iter().filter_map(|id| made.get(id).copied()).collect())
}

fn read(row: &Row) -> Result<(Uuid, Accepted), PgError> {
    let state = row.try_get::<_, &str>(1)?.parse().unwrap_or(State::Queued);
    let debt = row.try_get::<_, Option<i64>>("debt")?.map(Debt);
    let (created_at, run_at, root_id) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    Ok((row.try_get(0)?, Accepted { state, created_at, run_at, root_id, debt }))
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
