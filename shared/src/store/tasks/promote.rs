//! What becomes due: scheduled tasks start, late ones expire, running ones past their hard limit are given up. One
//! column, `due_at`, holds the next moment at which somebody must look, whatever the state.

use std::time::Duration;

use super::{Owed, owed::read_owed};
use crate::store::{
    Store, StoreError,
    workflows::sweep::{PLAIN, sweep},
};

const PROMOTE: &str = "
    WITH d AS MATERIALIZED (
        SELECT id FROM task WHERE due_at <= now() AND (state = 'scheduled') IS TRUE ORDER BY due_at LIMIT $1
        FOR UPDATE SKIP LOCKED
    ), done AS (
        UPDATE task t SET state = 'queued', queued_at = now(), due_at = t.expires_at
        FROM d
        WHERE t.id = d.id AND (t.state = 'scheduled' AND (t.expires_at IS NULL OR t.expires_at > now())) IS TRUE
        RETURNING t.id, t.epoch, t.name, t.queue, t.priority, t.losses
    ), debt AS (
        INSERT INTO owed (ids) SELECT array_agg(id) FROM done HAVING count(*) > 0 RETURNING id
    )
    SELECT b.id AS debt, n.id, n.epoch, n.name, n.queue, n.priority, n.losses FROM done n, debt b";

/// `{whose}`: of tasks that are no nodes, or of nodes whose workflows are locked.
const EXPIRE: &str = "
    WITH d AS MATERIALIZED (
        SELECT id FROM task
        WHERE due_at <= now() AND (state IN ('scheduled', 'queued') AND expires_at <= now() AND {whose}) IS TRUE
        ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE task t SET state = 'expired', finished_at = clock_timestamp(), due_at = NULL
    FROM d WHERE t.id = d.id AND (t.state IN ('scheduled', 'queued') AND t.expires_at <= now()) IS TRUE";

const EXPIRING: &str = "
    SELECT DISTINCT workflow_id FROM (
        SELECT workflow_id FROM task WHERE due_at <= now()
            AND (state IN ('scheduled', 'queued') AND expires_at <= now() AND workflow_id IS NOT NULL) IS TRUE
        ORDER BY due_at LIMIT $1) t";

const OF_LATE: &str = "
    SELECT DISTINCT workflow_id FROM (
        SELECT workflow_id FROM task WHERE due_at <= now() AND (state = 'running' AND workflow_id IS NOT NULL) IS TRUE
        ORDER BY due_at LIMIT $1) t";

/// The worker ends an attempt at its limit; this is for workers that do not, a grace later. The wait before the next
/// attempt is the plain ten seconds, for the back-off is the worker's business and it is the worker that failed.
const OVERDUE: &str = "
    WITH late AS (
        SELECT id, epoch, attempt, owner_id, worker, started_at, attempt >= max_attempts AS spent,
            cancel_requested_at IS NOT NULL AS unwanted
        FROM task WHERE due_at <= now() AND (state = 'running' AND {whose}) IS TRUE ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ), done AS (
        UPDATE task t SET
            state = CASE WHEN l.unwanted THEN 'cancelled' WHEN l.spent THEN 'failed' ELSE 'scheduled' END::task_state,
            due_at = CASE WHEN NOT l.unwanted AND NOT l.spent THEN now() + interval '10 seconds' END,
            finished_at = CASE WHEN l.unwanted OR l.spent THEN clock_timestamp() END,
            error = $2, error_code = CASE WHEN l.spent AND NOT l.unwanted THEN 'timed_out' ELSE '' END,
            session_id = NULL
        FROM late l WHERE t.id = l.id AND (t.state = 'running' AND t.epoch = l.epoch) IS TRUE
        RETURNING t.id, t.epoch, t.state, t.workflow_id, t.node
    ), kept AS (
        INSERT INTO attempt (task_id, epoch, owner_id, attempt, outcome, error, worker, started_at)
        SELECT l.id, l.epoch, l.owner_id, l.attempt, 'timed_out', $2, l.worker, l.started_at
        FROM late l JOIN done d ON d.id = l.id WHERE d.state = 'scheduled'
    )
    SELECT workflow_id, node, state::text FROM done";

const OVERDUE_ERROR: &[u8] =
    br#"{"code":"timed_out","message":"the hard time limit was reached, and the worker did not stop"}"#;

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

impl Store {
    /// Moves up to `limit` due tasks to `queued`; the caller publishes them, and a relay does if it cannot.
    pub async fn promote_due(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.writer().await?;
        let promote = db.prepare_cached(PROMOTE).await?;
        db.query(&promote, &[&limit]).await?.iter().map(read_owed).collect()
    }

    /// Ends up to `limit` tasks that were not started in time; how many it were.
    pub async fn expire_due(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.writer().await?;
        let expire = db.prepare_cached(&EXPIRE.replace("{whose}", PLAIN)).await?;
        let plain = db.execute(&expire, &[&limit]).await?;
        drop(db);
        let nodes = EXPIRE.replace("{whose}", "workflow_id = ANY($2)");
        let nodes = format!("{nodes} RETURNING t.workflow_id, t.node, t.state::text");
        Ok(plain + count(sweep(self, EXPIRING, &nodes, limit, &[]).await?.len()))
    }

    /// Gives up to `limit` attempts up that their worker should have ended; how many it were.
    pub async fn give_up_overdue(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.writer().await?;
        let overdue = db.prepare_cached(&OVERDUE.replace("{whose}", PLAIN)).await?;
        let plain = db.query(&overdue, &[&limit, &OVERDUE_ERROR]).await?.len();
        drop(db);
        let nodes = OVERDUE.replace("{whose}", "workflow_id = ANY($3)");
        Ok(count(plain + sweep(self, OF_LATE, &nodes, limit, &[&OVERDUE_ERROR]).await?.len()))
    }

    /// How long until something becomes due; `None` when nothing will.
    pub async fn next_due(&self) -> Result<Option<Duration>, StoreError> {
        let db = self.writer().await?;
        let next = db
            .prepare_cached(
                "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM task WHERE due_at IS NOT NULL",
            )
            .await?;
        let seconds: Option<f64> = db.query_one(&next, &[]).await?.try_get(0)?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)))
    }
}
