//! Retention: what is past its time goes, kind by kind, in small batches. Tasks go along their ids, which sort by time of
//! acceptance, so the walk needs no index of its own, ends where nothing can be past its time, and never locks much.
//!
//! Invariant: only what is terminal goes, and the statement says so itself. Any number of processes may remove at once.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};

/// What goes with the tasks of the CTE `gone`, which has their ids, owners, states and tags. Unique keys are locked in the order in which
/// batches of submissions lock them, so that neither waits for the other in a circle.
pub(super) const BESIDE: &str = "specs AS (
        DELETE FROM task_spec p USING gone g WHERE p.id = g.id
    ), attempts AS (
        DELETE FROM attempt a USING gone g WHERE a.task_id = g.id
    ), ends AS (
        DELETE FROM ended e USING gone g WHERE e.owner_id = g.owner_id AND e.state = g.state AND e.id = g.id
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

/// The next tasks of a walk, and of them those go that are past their time.
const TASKS: &str = "
    WITH seen AS MATERIALIZED (
        SELECT r.id, r.state, r.finished_at, s.result_ttl, s.workflow_id, s.tags
        FROM (SELECT id, result_ttl, workflow_id, tags FROM task_spec WHERE id > $1 AND {which} ORDER BY id LIMIT $2) s
        JOIN task_run r ON r.id = s.id
    ), gone AS (
        DELETE FROM task_run t USING seen s
        WHERE t.id = s.id AND (t.state IN ('succeeded', 'failed', 'cancelled', 'expired')) IS TRUE
            AND s.finished_at + coalesce(s.result_ttl, CASE s.state WHEN 'failed' THEN $4::float8 ELSE $3::float8 END)
                * interval '1 second' < now()
            AND (s.workflow_id IS NULL OR NOT EXISTS (SELECT FROM workflow w WHERE w.id = s.workflow_id)) IS TRUE
        RETURNING t.id, t.owner_id, t.state, s.tags
    ), {beside}
    SELECT (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM seen) AS seen,
        (SELECT count(*) FROM gone) AS gone";

/// What was accepted so long ago that it can be past its time: an id begins with its millisecond.
const OLD: &str =
    "id < (SELECT rpad(lpad(to_hex((extract(epoch FROM now() - least($3::float8, $4::float8) * interval '1 second')
            * 1000)::bigint), 12, '0'), 32, '0')::uuid)";

/// What says itself how long it is kept.
const BRIEF: &str = "result_ttl IS NOT NULL";

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

const IDEMPOTENCY_KEYS: &str = "
    DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency WHERE created_at < now() - $2::float8 * interval '1 second'
        ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED))";

const PERIOD_KEYS: &str = "
    DELETE FROM task_unique WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM task_unique WHERE until < now() ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED)) AND until < now()";

/// Of tasks that go on: those of tasks that have ended go with them.
const SNOOZES: &str = "
    DELETE FROM attempt WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM attempt WHERE outcome = 'snoozed' AND ended_at < now() - $2::float8 * interval '1 second'
        ORDER BY ended_at LIMIT $1 FOR UPDATE SKIP LOCKED))";

/// Long dead, and holding nothing.
const SESSIONS: &str = "
    DELETE FROM session WHERE id IN (SELECT s.id FROM session s
        WHERE s.dead AND s.ended_at < now() - $2::float8 * interval '1 second'
            AND NOT EXISTS (SELECT FROM hold h WHERE h.session_id = s.id)
        ORDER BY s.ended_at LIMIT $1)";

const QUARANTINE: &str = "
    DELETE FROM quarantine WHERE id IN (SELECT id FROM (SELECT id, seen_at FROM quarantine ORDER BY id LIMIT $1) oldest
        WHERE seen_at < now() - $2::float8 * interval '1 second')";

const DELETED_DATA: &str = "
    DELETE FROM data WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM data WHERE value IS NULL AND updated_at < now() - $2::float8 * interval '1 second'
        ORDER BY updated_at LIMIT $1)) AND value IS NULL";

/// Values whose time is over; their places stay for a while, as those of deleted ones.
const ENDED_DATA: &str = "
    UPDATE data SET value = NULL, ends_at = NULL, updated_at = now() WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM data WHERE ends_at < now() ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED)) AND ends_at < now()";

/// In the order of their ids, which is that of their times but for what was written at once.
const ORDERS: &str = "
    DELETE FROM audit WHERE id IN (SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $1) oldest
        WHERE at < now() - $2::float8 * interval '1 second')";

/// A kind of things that go when they are past their time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Chore {
    /// Workflows that have ended, each with its nodes. Their tasks go after them.
    Workflows,
    /// Tasks that have ended, by how they ended.
    Tasks,
    /// Tasks that have ended and say themselves how long they are kept.
    BriefTasks,
    /// Answers kept under idempotency keys.
    IdempotencyKeys,
    /// Unique keys whose period is over.
    PeriodKeys,
    /// Attempts that were snoozed.
    Snoozes,
    /// Sessions of workers that are gone.
    Sessions,
    /// Messages that nobody could read.
    Quarantine,
    /// Values whose time is over.
    EndedData,
    /// Places of values that were deleted.
    DeletedData,
    /// Entries of the audit log.
    Orders,
}

impl Chore {
    /// All of them, workflows before their tasks.
    pub const ALL: [Self; 11] = [
        Self::Workflows,
        Self::Tasks,
        Self::BriefTasks,
        Self::IdempotencyKeys,
        Self::PeriodKeys,
        Self::Snoozes,
        Self::Sessions,
        Self::Quarantine,
        Self::EndedData,
        Self::DeletedData,
        Self::Orders,
    ];
}

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Tasks and workflows that succeeded, were cancelled or expired.
    pub ended: Duration,
    /// Tasks and workflows that failed: people may want to look.
    pub failed: Duration,
    /// Answers under idempotency keys, from the first request on.
    pub idempotency_keys: Duration,
    /// Sessions, from their end on; snoozed attempts too.
    pub sessions: Duration,
    /// Messages in quarantine.
    pub quarantine: Duration,
    /// What tells that a value was deleted.
    pub deleted_data: Duration,
    /// The audit log.
    pub orders: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            ended: days(1),
            failed: days(7),
            idempotency_keys: days(1),
            sessions: days(1),
            quarantine: days(30),
            deleted_data: days(1),
            orders: days(400),
        }
    }
}

/// What one step of a chore did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retained {
    /// So many went.
    pub removed: u64,
    /// Where a walk goes on; nil for a chore that begins at the oldest each time. `None` when nothing more is past its time.
    pub next: Option<Uuid>,
}

impl Store {
    /// One step of a chore, from `from` on: looks at the next `limit` and removes those that are past their time.
    pub async fn retain(&self, chore: Chore, keep: &Keep, from: Uuid, limit: i64) -> Result<Retained, StoreError> {
        match chore {
            Chore::Tasks => self.retain_tasks(OLD, keep, from, limit).await,
            Chore::BriefTasks => self.retain_tasks(BRIEF, keep, from, limit).await,
            Chore::Workflows => {
                let db = self.upkeep().await?;
                let delete = db.prepare_cached(WORKFLOWS).await?;
                let removed = db.execute(&delete, &[&keep.ended.as_secs_f64(), &keep.failed.as_secs_f64()]).await?;
                Ok(Retained { removed, next: (removed > 0).then_some(Uuid::nil()) })
            }
            Chore::PeriodKeys => self.retain_past(PERIOD_KEYS, limit).await,
            Chore::EndedData => self.retain_past(ENDED_DATA, limit).await,
            Chore::IdempotencyKeys => self.retain_rows(IDEMPOTENCY_KEYS, keep.idempotency_keys, limit).await,
            Chore::Snoozes => self.retain_rows(SNOOZES, keep.sessions, limit).await,
            Chore::Sessions => self.retain_rows(SESSIONS, keep.sessions, limit).await,
            Chore::Quarantine => self.retain_rows(QUARANTINE, keep.quarantine, limit).await,
            Chore::DeletedData => self.retain_rows(DELETED_DATA, keep.deleted_data, limit).await,
            Chore::Orders => self.retain_rows(ORDERS, keep.orders, limit).await,
        }
    }

    async fn retain_tasks(&self, which: &str, keep: &Keep, from: Uuid, limit: i64) -> Result<Retained, StoreError> {
        let db = self.upkeep().await?;
        let step = db.prepare_cached(&TASKS.replace("{which}", which).replace("{beside}", BESIDE)).await?;
        let row = db.query_one(&step, &[&from, &limit, &keep.ended.as_secs_f64(), &keep.failed.as_secs_f64()]).await?;
        let (last, seen, gone): (Option<Uuid>, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(Retained { removed: gone.unsigned_abs(), next: last.filter(|_| seen == limit) })
    }

    /// What says itself when it is past its time.
    async fn retain_past(&self, statement: &str, limit: i64) -> Result<Retained, StoreError> {
        let db = self.upkeep().await?;
        let removed = db.execute(&db.prepare_cached(statement).await?, &[&limit]).await?;
        Ok(Retained::of(removed, limit))
    }

    async fn retain_rows(&self, statement: &str, keep: Duration, limit: i64) -> Result<Retained, StoreError> {
        let db = self.upkeep().await?;
        let removed = db.execute(&db.prepare_cached(statement).await?, &[&limit, &keep.as_secs_f64()]).await?;
        Ok(Retained::of(removed, limit))
    }
}

impl Retained {
    /// Of a statement that takes the oldest each time.
    fn of(removed: u64, limit: i64) -> Self {
        Self { removed, next: (removed >= limit.unsigned_abs()).then_some(Uuid::nil()) }
    }
}
