//! What becomes due: scheduled tasks start, late ones expire. One column, `due_at`, holds the next moment at which somebody must
//! look: of a scheduled task its start or its expiry, whichever comes first, of a queued one its expiry.

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

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

impl Store {
    /// Moves up to `limit` due tasks to `queued`; the caller publishes them, and a relay does if it cannot.
    pub async fn promote_due(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.upkeep().await?;
        let promote = db.prepare_cached(PROMOTE).await?;
        db.query(&promote, &[&limit]).await?.iter().map(read_owed).collect()
    }

    /// Expires up to `limit` plain tasks that were not started in time, and as many nodes; returns how many.
    pub async fn expire_due(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.upkeep().await?;
        let expire = db.prepare_cached(&EXPIRE.replace("{whose}", PLAIN)).await?;
        let plain = db.execute(&expire, &[&limit]).await?;
        drop(db);
        let nodes = EXPIRE.replace("{whose}", "workflow_id = ANY($2)");
        let nodes = format!("{nodes} RETURNING t.workflow_id, t.node, t.state::text");
        Ok(plain + count(sweep(self, EXPIRING, &nodes, limit).await?))
    }

    /// How long until something becomes due; `None` when nothing will.
    pub async fn next_due(&self) -> Result<Option<Duration>, StoreError> {
        let db = self.upkeep().await?;
        let next = db
            .prepare_cached(
                "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM task WHERE due_at IS NOT NULL",
            )
            .await?;
        let seconds: Option<f64> = db.query_one(&next, &[]).await?.try_get(0)?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)))
    }
}
