//! What becomes due: scheduled tasks start, late ones expire. One column, `due_at`, holds the next moment at which somebody must
//! look: of a scheduled task its start or its expiry, whichever comes first, of a queued one its expiry.

use std::time::Duration;

use super::{Owed, backlog::LISTED, owed::read_owed};
use crate::store::{
    Store, StoreError,
    workflows::sweep::{PLAIN, sweep},
};

const PROMOTE: &str = "
    WITH d AS MATERIALIZED (
        SELECT id FROM task_run WHERE due_at <= now() AND (state = 'scheduled') IS TRUE ORDER BY due_at LIMIT $1
        FOR UPDATE SKIP LOCKED
    ), done AS (
        UPDATE task_run t SET state = 'queued', queued_at = now(), due_at = s.expires_at, version = t.version + 1
        FROM d JOIN task_spec s ON s.id = d.id
        WHERE t.id = d.id AND (t.state = 'scheduled' AND (s.expires_at IS NULL OR s.expires_at > now())) IS TRUE
        RETURNING t.id, t.epoch, s.name, s.queue, s.priority, t.losses, t.owner_id, s.class
    ), {listed}, debt AS (
        INSERT INTO owed (ids) SELECT array_agg(id) FROM done HAVING count(*) > 0 RETURNING id
    )
    SELECT b.id AS debt, n.id, n.epoch, n.name, n.queue, n.priority, n.losses FROM done n, debt b";

/// `{whose}`: of tasks that are no nodes, or of nodes whose workflows are locked.
const EXPIRE: &str = "
    WITH d AS MATERIALIZED (
        SELECT r.id, s.workflow_id, s.node FROM task_run r JOIN task_spec s ON s.id = r.id
        WHERE r.due_at <= now() AND (r.state IN ('scheduled', 'queued') AND s.expires_at <= now() AND {whose}) IS TRUE
        ORDER BY r.due_at LIMIT $1 FOR UPDATE OF r SKIP LOCKED
    )
    UPDATE task_run t SET state = 'expired', finished_at = clock_timestamp(), due_at = NULL, version = t.version + 1
    FROM d WHERE t.id = d.id AND (t.state IN ('scheduled', 'queued')) IS TRUE";

const EXPIRING: &str = "
    SELECT DISTINCT workflow_id FROM (
        SELECT s.workflow_id FROM task_run r JOIN task_spec s ON s.id = r.id WHERE r.due_at <= now()
            AND (r.state IN ('scheduled', 'queued') AND s.expires_at <= now() AND s.workflow_id IS NOT NULL) IS TRUE
        ORDER BY r.due_at LIMIT $1) t";

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

impl Store {
    /// Moves up to `limit` due tasks to `queued`; the caller publishes them, and a relay does if it cannot.
    pub async fn promote_due(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.upkeep().await?;
        let promote = db.prepare_cached(&PROMOTE.replace("{listed}", LISTED)).await?;
        db.query(&promote, &[&limit]).await?.iter().map(read_owed).collect()
    }

    /// Expires up to `limit` plain tasks that were not started in time, and as many nodes; returns how many.
    pub async fn expire_due(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.upkeep().await?;
        let expire = db.prepare_cached(&EXPIRE.replace("{whose}", &format!("r.{PLAIN}"))).await?;
        let plain = db.execute(&expire, &[&limit]).await?;
        drop(db);
        let nodes = EXPIRE.replace("{whose}", "s.workflow_id = ANY($2)");
        let nodes = format!("{nodes} RETURNING d.workflow_id, d.node, t.state::text");
        Ok(plain + count(sweep(self, EXPIRING, &nodes, limit).await?))
    }

    /// How long until something becomes due; `None` when nothing will.
    pub async fn next_due(&self) -> Result<Option<Duration>, StoreError> {
        let db = self.upkeep().await?;
        let next = db
            .prepare_cached(
                "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM task_run WHERE due_at IS NOT NULL",
            )
            .await?;
        let seconds: Option<f64> = db.query_one(&next, &[]).await?.try_get(0)?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)))
    }
}
