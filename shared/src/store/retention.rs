//! Retention: what is past its time goes, in small batches along the primary key. Ids sort by time of acceptance, so the
//! walk needs no index of its own, and a busy table is never locked for long nor bloated at one stroke.
//!
//! Invariant: only what is terminal goes, and the statement says so itself; one process walks at a time, which saves work
//! and decides nothing.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::task::SessionId;

const TAKE: &str = "
    UPDATE upkeep SET holder = $1, held_until = now() + interval '30 seconds'
    WHERE name = 'retention' AND (holder = $1 OR held_until < now())
    RETURNING cursor";

/// What goes with the tasks of the CTE `gone`, which has their ids, owners and tags. Unique keys are locked in the order in which
/// batches of submissions lock them, so that neither waits for the other in a circle.
pub(super) const BESIDE: &str = "attempts AS (
        DELETE FROM attempt a USING gone g WHERE a.task_id = g.id
    ), held_keys AS MATERIALIZED (
        SELECT u.owner_id, u.hash FROM task_unique u JOIN gone g ON u.task_id = g.id
        WHERE (u.scope <> 'period' AND u.next_id IS NULL) IS TRUE
        ORDER BY u.owner_id, u.hash FOR UPDATE OF u
    ), keys AS (
        DELETE FROM task_unique u USING held_keys k WHERE u.owner_id = k.owner_id AND u.hash = k.hash
    ), tags AS (
        DELETE FROM task_tag a USING (SELECT owner_id, unnest(tags) AS tag, id FROM gone WHERE tags <> '{}') g
        WHERE a.owner_id = g.owner_id AND a.tag = g.tag AND a.task_id = g.id
    )";

const STEP: &str = "
    WITH seen AS MATERIALIZED (
        SELECT id, state, finished_at, result_ttl FROM task WHERE id > $1 ORDER BY id LIMIT $2
    ), gone AS (
        DELETE FROM task t USING seen s
        WHERE t.id = s.id AND (t.state IN ('succeeded', 'failed', 'cancelled', 'expired')) IS TRUE
            AND s.finished_at + coalesce(s.result_ttl, CASE s.state WHEN 'failed' THEN $4::float8 ELSE $3::float8 END)
                * interval '1 second' < now()
            AND (t.workflow_id IS NULL OR NOT EXISTS (SELECT FROM workflow w WHERE w.id = t.workflow_id)) IS TRUE
        RETURNING t.id, t.owner_id, t.tags
    ), {beside}
    SELECT (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM seen) AS seen,
        (SELECT count(*) FROM gone) AS gone";

/// Workflows go first, each with its nodes; until then their tasks stay, for others refer to them. As many as have so many
/// nodes together, and one at least.
const WORKFLOWS: &str = "
    WITH old AS MATERIALIZED (
        SELECT id, nodes FROM workflow WHERE finished_at < now() - least($1::float8, $2::float8) * interval '1 second'
            AND finished_at < now() - CASE state WHEN 'failed' THEN $2::float8 ELSE $1::float8 END * interval '1 second'
        ORDER BY finished_at LIMIT 500 FOR UPDATE SKIP LOCKED
    ), gone AS MATERIALIZED (
        SELECT id FROM (SELECT id, sum(nodes) OVER (ORDER BY id) - nodes AS before FROM old) o WHERE before < 10000
    ), nodes AS (
        DELETE FROM workflow_node n USING gone g WHERE n.workflow_id = g.id
    )
    DELETE FROM workflow w USING gone g WHERE w.id = g.id";

const KEEP_CURSOR: &str = "UPDATE upkeep SET cursor = $2 WHERE name = 'retention' AND holder = $1";

/// What has its own time: keys, periods, sessions that are long dead and hold nothing, old quarantine, deleted data, old orders.
const OTHERS: [&str; 7] = [
    "DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency WHERE created_at < now() - interval '24 hours' LIMIT $1 FOR UPDATE SKIP LOCKED))",
    "DELETE FROM task_unique WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM task_unique WHERE until < now() LIMIT $1 FOR UPDATE SKIP LOCKED)) AND until < now()",
    "DELETE FROM session WHERE id IN (SELECT s.id FROM session s WHERE s.dead AND s.ended_at < now() - interval '1 day'
        AND NOT EXISTS (SELECT FROM hold h WHERE h.session_id = s.id)
        LIMIT $1)",
    "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE seen_at < now() - interval '30 days' LIMIT $1)",
    "DELETE FROM data WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM data WHERE value IS NULL AND updated_at < now() - interval '1 day' LIMIT $1)) AND value IS NULL",
    // values whose time is over; their rows stay for a day, as those of deleted ones
    "UPDATE data SET value = NULL, ends_at = NULL, updated_at = now() WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM data WHERE ends_at < now() AND end_set_at = updated_at LIMIT $1 FOR UPDATE SKIP LOCKED))
        AND ends_at < now() AND end_set_at = updated_at",
    // in the order of their ids, which is that of their times but for what was written at once
    "DELETE FROM audit WHERE id IN (SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $1) oldest
        WHERE at < now() - interval '400 days')",
];

/// How long finished tasks are kept where they say nothing themselves, seconds.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Succeeded, cancelled, expired.
    pub ended: f64,
    /// Failed: people may want to look.
    pub failed: f64,
}

/// What one step of the walk did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walked {
    /// Somebody else walks.
    Held,
    /// So many tasks went; there is more to see.
    On(u64),
    /// So many tasks went, and the walk is at its end.
    Over(u64),
}

impl Store {
    /// One step: looks at the next `limit` tasks and removes those that are past their time.
    pub async fn retain_step(&self, session: SessionId, keep: Keep, limit: i64) -> Result<Walked, StoreError> {
        let db = self.upkeep().await?;
        let take = db.prepare_cached(TAKE).await?;
        let Some(row) = db.query_opt(&take, &[&session.0]).await? else { return Ok(Walked::Held) };
        let cursor: Uuid = row.try_get(0)?;
        let step = db.prepare_cached(&STEP.replace("{beside}", BESIDE)).await?;
        let row = db.query_one(&step, &[&cursor, &limit, &keep.ended, &keep.failed]).await?;
        let (last, seen, gone): (Option<Uuid>, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let over = seen < limit;
        let next = last.filter(|_| !over).unwrap_or(Uuid::nil());
        let keep_cursor = db.prepare_cached(KEEP_CURSOR).await?;
        db.execute(&keep_cursor, &[&session.0, &next]).await?;
        Ok(if over { Walked::Over(gone.unsigned_abs()) } else { Walked::On(gone.unsigned_abs()) })
    }

    /// Removes some of the workflows that are past their time; how many.
    pub async fn retain_workflows(&self, keep: Keep) -> Result<u64, StoreError> {
        let db = self.upkeep().await?;
        let delete = db.prepare_cached(WORKFLOWS).await?;
        Ok(db.execute(&delete, &[&keep.ended, &keep.failed]).await?)
    }

    /// Removes up to `limit` of each of the other things that are past their time.
    pub async fn retain_others(&self, limit: i64) -> Result<(), StoreError> {
        let db = self.connection().await?;
        for statement in OTHERS {
            let delete = db.prepare_cached(statement).await?;
            let parameters: [&(dyn ToSql + Sync); 1] = [&limit];
            db.execute(&delete, &parameters).await?;
        }
        Ok(())
    }
}
