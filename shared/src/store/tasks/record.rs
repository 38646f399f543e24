//! Record: the last of a task's three writes. The slot is free only when it has returned.
//!
//! Invariant: only the holder of the task's current epoch can record; a late attempt changes nothing and is told so.

use std::collections::HashMap;

use deadpool_postgres::{GenericClient, Object};
use serde_json::value::RawValue;
use tokio_postgres::{Error as PgError, types::ToSql};
use uuid::Uuid;

use crate::{
    broken::Rule,
    store::{
        Batched,
        workflows::{Follow, Member},
    },
    task::{AttemptOutcome, Epoch, LossCount, Outcome, State, TaskError, TaskId},
};

const FINISH: &str = "
    UPDATE task_run t SET state = o.state::task_state, error = o.error, error_code = o.code,
        result = CASE WHEN t.flags & 2 = 0 THEN o.result END, progress = coalesce(o.progress, t.progress),
        session_id = NULL, due_at = NULL, finished_at = clock_timestamp(), version = t.version + 1
    FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::bytea[], $5::bytea[], $6::text[], $7::text[])
        AS o(id, epoch, state, result, error, code, progress)
    WHERE t.id = o.id AND (t.state = 'running' AND t.epoch = o.epoch) IS TRUE
    RETURNING t.id, t.state::text";

/// Another attempt: at once (`after` is NULL) or later. A task whose cancellation was requested ends instead; one that expires
/// before its next start is looked at when it expires. Of snoozes that follow each other one row is kept.
const AGAIN: &str = "
    WITH o AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::bytea[], $5::float8[], $6::int4[], $7::text[], $8::int2[])
            AS o(id, epoch, outcome, error, after, spends, progress, losses)
    ), done AS (
        UPDATE task_run t SET version = t.version + 1,
            state = CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN o.after IS NULL THEN 'queued' ELSE 'scheduled' END::task_state,
            attempt = CASE WHEN t.cancel_requested_at IS NOT NULL THEN t.attempt ELSE t.attempt + o.spends - 1 END,
            losses = CASE WHEN o.losses < 0 THEN 0 ELSE t.losses + o.losses END,
            error = o.error, progress = coalesce(o.progress, t.progress),
            due_at = CASE WHEN t.cancel_requested_at IS NULL THEN
                least(now() + o.after * interval '1 second', s.expires_at) END,
            run_at = CASE WHEN now() + o.after * interval '1 second' > s.expires_at
                THEN now() + o.after * interval '1 second' END,
            queued_at = CASE WHEN o.after IS NULL THEN now() ELSE t.queued_at END,
            finished_at = CASE WHEN t.cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
            session_id = NULL
        FROM o JOIN task_spec s ON s.id = o.id
        WHERE t.id = o.id AND (t.state = 'running' AND t.epoch = o.epoch) IS TRUE
        RETURNING t.id, t.epoch, t.owner_id, t.attempt + 1 - o.spends AS attempt, t.state, t.worker, t.started_at,
            o.outcome, o.error, s.queue, s.class
    ), merged AS (
        UPDATE attempt a SET epoch = d.epoch, times = a.times + 1, worker = d.worker, ended_at = now()
        FROM done d WHERE d.outcome = 'snoozed' AND d.state <> 'cancelled'
            AND a.task_id = d.id AND a.epoch = d.epoch - 1 AND (a.outcome = 'snoozed') IS TRUE
        RETURNING a.task_id
    ), kept AS (
        INSERT INTO attempt (task_id, epoch, owner_id, attempt, outcome, error, worker, started_at)
        SELECT id, epoch, owner_id, attempt, outcome::attempt_outcome, error, worker, started_at
        FROM done WHERE state <> 'cancelled' AND id NOT IN (SELECT task_id FROM merged)
    ), listed AS (
        INSERT INTO backlog (owner_id, queue, class, queued, ids)
        SELECT owner_id, queue, class, state = 'queued', array_agg(id) FROM done WHERE state <> 'cancelled'
        GROUP BY owner_id, queue, class, state = 'queued'
    ), debt AS (
        INSERT INTO owed (publish_after, ids)
        SELECT now(), array_agg(id) FROM done WHERE state = 'queued' HAVING count(*) > 0
    )
    SELECT id, state::text FROM done";

const LOOK: &str = "SELECT id, epoch, state::text FROM task_run WHERE id = ANY($1)";

/// An outcome to record.
#[derive(Debug)]
pub struct RecordRow {
    /// Which task.
    pub id: TaskId,
    /// The epoch under which it ran.
    pub epoch: Epoch,
    /// How it ended.
    pub outcome: Outcome,
    /// What it last said of its progress, which is no later to be lost than the outcome.
    pub progress: Option<Box<RawValue>>,
    /// The node that it is, where it is one.
    pub member: Option<Member>,
    /// What it leaves behind if it succeeded.
    pub follow: Follow,
}

impl RecordRow {
    /// Whether it ends by itself, with nothing to follow: the others go through `workflows/steps.rs`.
    pub fn is_plain(&self) -> bool {
        self.member.is_none() && self.follow.is_empty()
    }

    pub(in crate::store) fn body_bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Succeed(result) => result.len(),
            Outcome::Fail(error) | Outcome::Retry { error: Some(error), .. } => error.message.len(),
            Outcome::Cancel | Outcome::Release | Outcome::Retry { error: None, .. } => 0,
        }
    }
}

/// What became of an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// Recorded; the task is now in this state.
    Done(State),
    /// Refused: the task belongs to a later epoch, or has ended without us.
    Refused,
}

/// The record writer's statement.
pub struct Record;

impl Batched for Record {
    type Row = RecordRow;
    type Answer = Recorded;
    const NAME: &'static str = "record";
    /// Safe to repeat: the guard on state and epoch lets it change a row once.
    const PERSISTENT: bool = true;

    fn key(row: &RecordRow) -> Uuid {
        row.id.0
    }

    fn bytes(row: &RecordRow) -> usize {
        row.body_bytes()
    }

    async fn write(&self, db: &mut Object, rows: &[&RecordRow], again: bool) -> Result<Vec<Recorded>, PgError> {
        // two statements, two commits
        let mut done = record_rows(&*db, rows).await?;
        if again && done.len() < rows.len() {
            recorded_before(&*db, rows, &mut done).await?;
        }
        let answer = |row: &&RecordRow| done.get(&row.id.0).map_or(Recorded::Refused, |state| Recorded::Done(*state));
        Ok(rows.iter().map(answer).collect())
    }
}

/// The rows that were changed, and what they are now.
pub(in crate::store) type Done = HashMap<Uuid, State>;

/// Records outcomes. No row is in both statements, and most batches have only the first kind.
pub(in crate::store) async fn record_rows(db: &impl GenericClient, rows: &[&RecordRow]) -> Result<Done, PgError> {
    let (last, more): (Vec<&RecordRow>, Vec<&RecordRow>) =
        rows.iter().partition(|row| !matches!(row.outcome, Outcome::Retry { .. } | Outcome::Release));
    let mut done = HashMap::with_capacity(rows.len());
    if !last.is_empty() {
        finish(db, &last, &mut done).await?;
    }
    if !more.is_empty() {
        run_again(db, &more, &mut done).await?;
    }
    Ok(done)
}

async fn finish(db: &impl GenericClient, rows: &[&RecordRow], done: &mut Done) -> Result<(), PgError> {
    let statement = if Rule::RecordEpoch.is_broken() {
        db.prepare_cached(&FINISH.replace(" AND t.epoch = o.epoch", "")).await?
    } else {
        db.prepare_cached(FINISH).await?
    };
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let epochs: Vec<i32> = rows.iter().map(|row| row.epoch.0).collect();
    let ends: Vec<End> = rows.iter().map(|row| end(&row.outcome)).collect();
    let states: Vec<&str> = ends.iter().map(|end| end.0.as_str()).collect();
    let results: Vec<Option<&[u8]>> = ends.iter().map(|end| end.1).collect();
    let errors: Vec<Option<&[u8]>> = ends.iter().map(|end| end.2.as_deref()).collect();
    let codes: Vec<&str> = rows.iter().map(|row| error_code(&row.outcome)).collect();
    let progress = last_words(rows);
    collect(&db.query(&statement, &[&ids, &epochs, &states, &results, &errors, &codes, &progress]).await?, done)
}

fn last_words<'a>(rows: &[&'a RecordRow]) -> Vec<Option<&'a str>> {
    rows.iter().map(|row| row.progress.as_deref().map(RawValue::get)).collect()
}

/// The state, the result and the error that a last outcome leaves.
type End<'a> = (State, Option<&'a [u8]>, Option<Vec<u8>>);

fn end(outcome: &Outcome) -> End<'_> {
    match outcome {
        Outcome::Succeed(result) => (State::Succeeded, Some(result), None),
        Outcome::Fail(error) => (State::Failed, None, Some(error_json(error))),
        Outcome::Cancel | Outcome::Retry { .. } | Outcome::Release => (State::Cancelled, None, None),
    }
}

/// What a failed task is found by; nothing for others.
fn error_code(outcome: &Outcome) -> &str {
    if let Outcome::Fail(error) = outcome { &error.code } else { "" }
}

async fn run_again(db: &impl GenericClient, rows: &[&RecordRow], done: &mut Done) -> Result<(), PgError> {
    let statement = db.prepare_cached(AGAIN).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let epochs: Vec<i32> = rows.iter().map(|row| row.epoch.0).collect();
    let tries: Vec<Try> = rows.iter().map(|row| another(&row.outcome)).collect();
    let outcomes: Vec<&str> = tries.iter().map(|one| one.0.as_str()).collect();
    let errors: Vec<Option<&[u8]>> = tries.iter().map(|one| one.1.as_deref()).collect();
    let waits: Vec<Option<f64>> = tries.iter().map(|one| one.2).collect();
    let spends: Vec<i32> = tries.iter().map(|one| i32::from(spends(one.0))).collect();
    let losses: Vec<i16> = tries.iter().map(|one| loss_change(one.3)).collect();
    let progress = last_words(rows);
    let parameters: [&(dyn ToSql + Sync); 8] = [&ids, &epochs, &outcomes, &errors, &waits, &spends, &progress, &losses];
    collect(&db.query(&statement, &parameters).await?, done)
}

/// How the attempt ended, its error, how long to wait (seconds), and what becomes of the count of losses.
type Try = (AttemptOutcome, Option<Vec<u8>>, Option<f64>, LossCount);

fn another(outcome: &Outcome) -> Try {
    match outcome {
        Outcome::Retry { attempt, error, after, losses } => {
            (*attempt, error.as_ref().map(error_json), Some(after.as_secs_f64()), *losses)
        }
        Outcome::Release | Outcome::Succeed(_) | Outcome::Fail(_) | Outcome::Cancel => {
            (AttemptOutcome::Interrupted, None, None, LossCount::Kept)
        }
    }
}

/// The statement adds it; a negative one means nothing is left.
const fn loss_change(losses: LossCount) -> i16 {
    match losses {
        LossCount::Reset => -1,
        LossCount::Kept => 0,
        LossCount::Raised => 1,
    }
}

/// Whether the attempt counts against the budget.
fn spends(outcome: AttemptOutcome) -> bool {
    !matches!(outcome, AttemptOutcome::Interrupted | AttemptOutcome::Snoozed)
}

/// After a commit whose answer was lost: what is no longer running at our epoch was recorded by that commit, or ended
/// by somebody else; either way there is nothing left to do.
pub(in crate::store) async fn recorded_before(
    db: &impl GenericClient,
    rows: &[&RecordRow],
    done: &mut Done,
) -> Result<(), PgError> {
    let look = db.prepare_cached(LOOK).await?;
    let epochs: HashMap<Uuid, i32> = rows.iter().map(|row| (row.id.0, row.epoch.0)).collect();
    let ids: Vec<Uuid> = epochs.keys().copied().collect();
    for row in db.query(&look, &[&ids]).await? {
        let id: Uuid = row.try_get(0)?;
        let epoch: i32 = row.try_get(1)?;
        if epochs.get(&id) == Some(&epoch)
            && let Ok(state) = row.try_get::<_, &str>(2)?.parse()
        {
            done.entry(id).or_insert(state);
        }
    }
    Ok(())
}

fn collect(rows: &[tokio_postgres::Row], done: &mut Done) -> Result<(), PgError> {
    for row in rows {
        if let Ok(state) = row.try_get::<_, &str>(1)?.parse() {
            done.insert(row.try_get(0)?, state);
        }
    }
    Ok(())
}

fn error_json(error: &TaskError) -> Vec<u8> {
    serde_json::to_vec(error).unwrap_or_default()
}
