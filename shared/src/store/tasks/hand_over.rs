//! Hand-over: a task is accepted as running in a session that has credit for it, so it needs no claim; and its session reads it.
//!
//! Invariants: what is handed over is in the same state as after a claim (running, first epoch, in a hold of a living session), so
//! whatever recovers a claim recovers it; a session that is dead or drains is handed nothing; a hold is read once in a process.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use deadpool_postgres::Object;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{
    Claim, Hold, Holds, claim,
    overdue::{DEADLINE_GRACE, DEADLINE_MS_MAX},
};
use crate::{
    store::{Batched, Store, StoreError},
    task::{Class, QueueName, SessionId, Start, TaskSpec},
};

/// The number of a row of `hold`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HoldId(pub i64);

/// Those who take tasks over at once. It must not wait.
pub trait Takers: Send + Sync {
    /// The session that takes one task of this queue; none where nobody has given credit.
    fn taker(&self, queue: &QueueName) -> Option<SessionId>;
    /// Tells a session of what was handed over to it. May be lost.
    fn handed(&self, session: SessionId, hold: HoldId);
}

/// Nobody takes anything over.
pub struct NoTakers;

impl Takers for NoTakers {
    fn taker(&self, _queue: &QueueName) -> Option<SessionId> {
        None
    }

    fn handed(&self, _session: SessionId, _hold: HoldId) {}
}

/// Only a task that is due now, on its own, and may run again after its worker was lost is handed over: one that was never started
/// may count as lost.
fn may_be_handed_over(task: &TaskSpec) -> bool {
    let extra = &task.extra;
    let stands_alone = extra.expires_at.is_none()
        && extra.parent_id.is_none()
        && extra.retry_of.is_none()
        && extra.waits_for.is_none()
        && extra.workflow_id.is_none();
    task.start == Start::Now && stands_alone && task.max_attempts > 1 && task.retry.allows("worker_lost")
}

/// As the plain accept (`accept.rs`), for tasks that one session takes. Without a row where the session takes nothing any more; then
/// nothing was inserted.
pub(super) const INSERT_HANDED: &str = "
    WITH w AS MATERIALIZED (
        SELECT id, name FROM session WHERE id = $14 AND NOT dead AND NOT drain
    ), n AS MATERIALIZED (
        SELECT p.*, w.id AS session_id, w.name AS worker
        FROM w CROSS JOIN unnest($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::int2[], $7::int4[], $8::text[],
            $9::int8[], $10::bytea[], $11::text[], $12::uuid[], $13::int2[])
            AS p(id, owner_id, name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent, batch_id,
                class)
    ), spec AS (
        INSERT INTO task_spec (id, owner_id, name, version, queue, priority, class, max_attempts, retry, timeout_ms, input,
            traceparent, batch_id)
        SELECT id, owner_id, name, version, queue, priority, class, max_attempts, retry::jsonb, timeout_ms, input, traceparent,
            batch_id FROM n
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, queued_at, started_at, epoch, attempt, session_id, worker)
        SELECT id, owner_id, 'running', now(), now(), 1, 1, session_id, worker FROM n
    )
    INSERT INTO hold (session_id, overdue_at, handed, ids)
    SELECT w.id, now() + (least($15::int8, $16::int8) + $17::int8) * interval '1 millisecond', true, $1 FROM w
    RETURNING id AS hold, now() AS created_at";

/// The same where some have tags or other things that few tasks have.
pub(super) const INSERT_HANDED_EXTRA: &str = "
    WITH w AS MATERIALIZED (
        SELECT id, name FROM session WHERE id = $14 AND NOT dead AND NOT drain
    ), n AS MATERIALIZED (
        SELECT p.*, w.id AS session_id, w.name AS worker, (x.soft_timeout * 1000)::int8 AS soft_timeout_ms, x.result_ttl,
            coalesce(x.drop_result, false) AS drop_result, coalesce(x.tags, '{}') AS tags, x.metadata
        FROM w CROSS JOIN unnest($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::int2[], $7::int4[], $8::text[],
            $9::int8[], $10::bytea[], $11::text[], $12::uuid[], $13::int2[], $18::text[])
            AS p(id, owner_id, task_name, version, queue, priority, max_attempts, retry, timeout_ms, input, traceparent, batch_id,
                class, extra)
        LEFT JOIN LATERAL jsonb_to_record(p.extra::jsonb) AS x(soft_timeout float8, result_ttl float8, drop_result bool,
            tags text[], metadata text) ON p.extra IS NOT NULL
    ), spec AS (
        INSERT INTO task_spec (id, owner_id, name, version, queue, priority, class, max_attempts, retry, timeout_ms, input,
            traceparent, batch_id, soft_timeout_ms, result_ttl, drop_result, tags, metadata)
        SELECT id, owner_id, task_name, version, queue, priority, class, max_attempts, retry::jsonb, timeout_ms, input,
            traceparent, batch_id, soft_timeout_ms, result_ttl, drop_result, tags, metadata FROM n
    ), run AS (
        INSERT INTO task_run (id, owner_id, state, queued_at, started_at, epoch, attempt, session_id, worker, flags)
        SELECT id, owner_id, 'running', now(), now(), 1, 1, session_id, worker, CASE WHEN drop_result THEN 2 ELSE 0 END FROM n
    ), tagged AS (
        INSERT INTO task_tag SELECT owner_id, unnest(tags), id FROM n WHERE tags <> '{}'
    )
    INSERT INTO hold (session_id, overdue_at, handed, ids)
    SELECT w.id, now() + (least($15::int8, $16::int8) + $17::int8) * interval '1 millisecond', true, $1 FROM w
    RETURNING id AS hold, now() AS created_at";

/// Milliseconds, for the statements above: the longest limit, and the grace after a limit.
pub(super) fn limits_ms() -> (i64, i64) {
    (DEADLINE_MS_MAX, i64::try_from(DEADLINE_GRACE.as_millis()).unwrap_or(0))
}

/// Whom each task of a commit is for: the tasks that nobody takes, and those of each taker, by their place in the commit.
#[derive(Default)]
pub(super) struct Shares {
    pub(super) nobody: Vec<usize>,
    pub(super) takers: Vec<(SessionId, Vec<usize>)>,
}

impl Shares {
    pub(super) fn of(tasks: &[&TaskSpec], takers: &dyn Takers) -> Self {
        let mut shares = Self::default();
        for (place, task) in tasks.iter().enumerate() {
            match may_be_handed_over(task).then(|| takers.taker(&task.queue)).flatten() {
                None => shares.nobody.push(place),
                Some(session) => match shares.takers.last_mut().filter(|(last, _)| *last == session) {
                    Some((_, places)) => places.push(place),
                    None => shares.takers.push((session, vec![place])),
                },
            }
        }
        shares
    }
}

/// Only what was accepted: of what changes, all is known while the session lives. Should it be declared dead meanwhile, this is a late
/// attempt, whose outcome is refused.
const TAKE: &str = "
    SELECT s.id, s.owner_id, s.name, s.max_attempts, s.retry::text, s.timeout_ms, s.input, s.created_at, s.traceparent,
        s.soft_timeout_ms, s.queue, s.class, h.id AS hold
    FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id) JOIN task_spec s ON s.id = i.id
    WHERE h.id = ANY($1) AND h.session_id = $2 AND h.handed
        AND EXISTS (SELECT FROM session w WHERE w.id = $2 AND NOT w.dead)";

const HANDED: &str = "SELECT id FROM hold WHERE session_id = $1 AND handed";

/// A task that was handed over.
#[derive(Debug)]
pub struct HandedOver {
    /// Its queue.
    pub queue: QueueName,
    /// Its priority class.
    pub class: Class,
    /// What is to be run.
    pub claim: Box<Claim>,
}

/// Reads what was handed over. It writes nothing, and is a writer because those gather what comes meanwhile.
pub struct Takes {
    /// The session to which it was handed over.
    pub session: Arc<AtomicI64>,
    /// Where holds are removed.
    pub holds: Holds,
}

impl Batched for Takes {
    type Row = HoldId;
    type Answer = Vec<HandedOver>;
    const NAME: &'static str = "take";
    const PERSISTENT: bool = true;

    fn key(row: &HoldId) -> Uuid {
        Uuid::from_u128(u128::from(row.0.unsigned_abs()))
    }

    async fn write(&self, db: &mut Object, rows: &[&HoldId], _again: bool) -> Result<Vec<Vec<HandedOver>>, PgError> {
        let take = db.prepare_cached(TAKE).await?;
        let holds: Vec<i64> = rows.iter().map(|hold| hold.0).collect();
        let session = self.session.load(Ordering::Acquire);
        let mut taken: HashMap<i64, (Arc<Hold>, Vec<HandedOver>)> = HashMap::new();
        for row in db.query(&take, &[&holds, &session]).await? {
            let id: i64 = row.try_get("hold")?;
            let (hold, tasks) = taken.entry(id).or_insert_with(|| (self.holds.of(id), Vec::new()));
            tasks.extend(read(&row, hold)?);
        }
        Ok(holds.iter().map(|id| taken.remove(id).map(|(_, tasks)| tasks).unwrap_or_default()).collect())
    }
}

/// Nothing of a row whose queue nobody could have named.
fn read(row: &Row, hold: &Arc<Hold>) -> Result<Option<HandedOver>, PgError> {
    let claim = Box::new(claim::handed_over(row, hold)?);
    let (queue, class): (&str, i16) = (row.try_get("queue")?, row.try_get("class")?);
    let queue = queue.parse().ok().zip(Class::ALL.into_iter().find(|known| known.number() == class));
    Ok(queue.map(|(queue, class)| HandedOver { queue, class, claim }))
}

impl Store {
    /// What was handed over to a session and not yet finished.
    pub async fn handed_over(&self, session: SessionId) -> Result<HashSet<HoldId>, StoreError> {
        let db = self.beats().await?;
        let handed = db.prepare_cached(HANDED).await?;
        db.query(&handed, &[&session.0]).await?.iter().map(|row| Ok(HoldId(row.try_get(0)?))).collect()
    }
}
