//! Reclaim: attempts that nobody will report. Their worker is dead (`rescue.rs`), or it did not end them at their time limit
//! (`overdue.rs`). The task's own retry policy decides what follows, by the function that the worker asks too
//! (`task/outcome.rs`), and the decision is recorded by the statements that record every outcome (`record.rs`). They are few, so
//! they are judged in Rust, one by one, and the rules stand in one place.
//!
//! Invariant: an attempt is judged under its row's lock, and the record repeats the guard on state and epoch. So a worker that
//! records in the same moment wins or loses the row, and never both. A row that is locked is skipped: another process reclaims
//! it, or its worker records it now.

use std::{collections::BTreeMap, time::Duration};

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Done, RecordRow, claim::member, record_rows};
use crate::{
    store::{
        Store, StoreError,
        workflows::{
            Follow,
            sweep::{PLAIN, advance_ended, find_and_lock},
        },
    },
    task::{Budget, Ending, Epoch, Outcome, RetryPolicy, TaskId, judge},
};

/// A kind of attempts to reclaim: in which holds they are found, what must be true of them, and how they ended.
pub(super) struct Reclaim {
    /// A query for `session_id` and `ids`; `$1` is the limit.
    pub(super) holds: &'static str,
    /// A condition on the task's rows, `t` of `task_run` and `s` of `task_spec`.
    pub(super) condition: String,
    /// How the attempt of a task that was lost so often ended.
    pub(super) ending: fn(losses: i16) -> Ending,
}

/// What became of the attempts that were reclaimed.
pub(super) type Reclaimed = Vec<Outcome>;

impl Reclaim {
    /// Reclaims up to `limit` attempts of plain tasks, and as many of nodes.
    pub(super) async fn run(&self, store: &Store, limit: i64) -> Result<Reclaimed, StoreError> {
        let mut db = store.upkeep().await?;
        let transaction = db.transaction().await?;
        let plain = self.attempts(&format!("t.{PLAIN}"));
        let plain = transaction.query(&transaction.prepare_cached(&plain).await?, &[&limit]).await?;
        let (mut reclaimed, _) = self.record(&transaction, &plain).await?;
        transaction.commit().await?;

        let Some((transaction, workflows)) = find_and_lock(&mut db, &self.workflows(), limit).await? else {
            return Ok(reclaimed);
        };
        let nodes = transaction.prepare_cached(&self.attempts("s.workflow_id = ANY($2)")).await?;
        let nodes = transaction.query(&nodes, &[&limit, &workflows]).await?;
        let (outcomes, done) = self.record(&transaction, &nodes).await?;
        let ended = nodes.iter().map(|row| Ok((row.try_get("workflow_id")?, row.try_get("node")?, row.try_get("id")?)));
        let ended = ended.collect::<Result<Vec<(Uuid, i32, Uuid)>, StoreError>>()?;
        let ended = ended.into_iter().filter_map(|(workflow, node, id)| Some((workflow, node, *done.get(&id)?)));
        advance_ended(&transaction, ended).await?;
        transaction.commit().await?;
        reclaimed.extend(outcomes);
        Ok(reclaimed)
    }

    async fn record(&self, db: &Transaction<'_>, found: &[Row]) -> Result<(Reclaimed, Done), StoreError> {
        // a task that was claimed again by the same session may stand in two holds
        let found = found.iter().map(|row| self.judged(row).map(|row| (row.id.0, row)));
        let rows: BTreeMap<Uuid, RecordRow> = found.collect::<Result<_, _>>()?;
        if rows.is_empty() {
            return Ok((Reclaimed::new(), Done::new()));
        }
        let done = record_rows(db, &rows.values().collect::<Vec<_>>()).await?;
        let outcomes = rows.into_values().filter(|row| done.contains_key(&row.id.0)).map(|row| row.outcome).collect();
        Ok((outcomes, done))
    }

    fn judged(&self, row: &Row) -> Result<RecordRow, StoreError> {
        let ending = if row.try_get("unwanted")? { Ending::Cancelled } else { (self.ending)(row.try_get("losses")?) };
        let budget = Budget {
            attempt: row.try_get("attempt")?,
            max_attempts: row.try_get("max_attempts")?,
            policy: RetryPolicy::stored(row.try_get("retry")?),
        };
        let age = Duration::try_from_secs_f64(row.try_get("age")?).unwrap_or_default();
        Ok(RecordRow {
            id: TaskId(row.try_get("id")?),
            epoch: Epoch(row.try_get("epoch")?),
            outcome: judge(ending, &budget, age, rand::random()),
            progress: None,
            member: member(row)?,
            follow: Follow::default(),
        })
    }

    fn attempts(&self, whose: &str) -> String {
        self.find(
            "t.id, t.epoch, t.attempt, s.max_attempts, s.retry::text, t.losses, s.workflow_id, s.node,
            t.cancel_requested_at IS NOT NULL AS unwanted,
            extract(epoch FROM clock_timestamp() - s.created_at)::float8 AS age",
            whose,
            "FOR NO KEY UPDATE OF t SKIP LOCKED",
        )
    }

    fn workflows(&self) -> String {
        let nodes = self.find("s.workflow_id", "s.workflow_id IS NOT NULL", "");
        format!("SELECT DISTINCT n.workflow_id FROM ({nodes}) n")
    }

    /// Each task is looked up by its id, whatever the planner takes the table's size to be.
    fn find(&self, columns: &str, whose: &str, lock: &str) -> String {
        let Self { holds, condition, .. } = self;
        format!(
            "WITH held AS MATERIALIZED ({holds})
            SELECT f.* FROM held h CROSS JOIN LATERAL unnest(h.ids) AS i(id) CROSS JOIN LATERAL (
                SELECT {columns} FROM task_run t JOIN task_spec s ON s.id = t.id WHERE t.id = i.id
                    AND (t.state = 'running' AND t.session_id = h.session_id AND {condition} AND {whose}) IS TRUE
                OFFSET 0 {lock}) f
            LIMIT $1"
        )
    }
}
