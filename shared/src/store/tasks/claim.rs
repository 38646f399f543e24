//! Claim: the second of a task's three writes. Whoever wins it owns the task under a new epoch, and from then on
//! recovery belongs to the worker's session, never to the broker.
//!
//! Invariant: a pointer that claims nothing is answered with the reason, because what becomes of the delivery depends
//! on it (the decision table in ARCHITECTURE.md).

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{
    hold::{Hold, Holds},
    overdue::{DEADLINE_GRACE, DEADLINE_MS_MAX},
};
use crate::{
    broken::Rule,
    store::{Batched, workflows::Member},
    task::{Budget, Epoch, OwnerId, Pointer, RetryPolicy, State, TaskId},
};

/// A task that was lost this often is a suspect: it runs as the only suspect of its process, so that a crash can be
/// blamed on it and not on its neighbours.
pub(super) fn suspect_losses() -> i16 {
    if Rule::Poison.is_broken() { i16::MAX } else { 2 }
}

/// `due_at` is NULL already unless the task can expire, so for nearly all tasks no indexed column changes.
const CLAIM: &str = "
    WITH claimed AS (
    UPDATE task_run t SET state = 'running', epoch = t.epoch + 1, attempt = t.attempt + 1, session_id = $4, worker = $5,
        started_at = clock_timestamp(), waiting_reason = NULL, due_at = NULL, version = t.version + 1
    FROM unnest($1::uuid[], $2::int4[], $3::bool[]) AS p(id, epoch, suspect) JOIN task_spec s ON s.id = p.id
    WHERE t.id = p.id AND (t.state = 'queued' AND t.epoch = p.epoch AND s.name = ANY($6)
            AND (t.losses < $8 OR p.suspect) AND (s.expires_at IS NULL OR s.expires_at > now())) IS TRUE
        AND EXISTS (SELECT FROM session w WHERE w.id = $4 AND NOT w.dead)
    RETURNING t.id, t.epoch, s.owner_id, s.name, t.attempt, s.max_attempts, s.retry::text, s.timeout_ms, s.input,
        t.queued_at, t.started_at, s.created_at, s.soft_timeout_ms, s.traceparent, t.losses, t.state::text,
        t.session_id, s.workflow_id, s.node
    ), held AS (
        INSERT INTO hold (session_id, ids, overdue_at)
        SELECT $4, array_agg(id), clock_timestamp() + (least(min(timeout_ms), $9) + $7) * interval '1 millisecond'
        FROM claimed HAVING count(*) > 0 RETURNING id
    )
    SELECT c.*, h.id AS hold FROM claimed c, held h";

/// Why pointers claimed nothing. Arguments are long, so they are read only of what may be this session's own claim, made by a
/// try whose answer was lost.
const LOOK: &str = "
    SELECT t.id, t.epoch, t.owner_id, t.name, t.attempt, t.max_attempts, t.retry::text, t.timeout_ms,
        CASE WHEN $3 AND t.session_id = $2 AND t.state = 'running' THEN t.input END AS input,
        t.queued_at, t.started_at, t.created_at, t.soft_timeout_ms, t.traceparent, t.losses, t.state::text,
        t.session_id, t.workflow_id, t.node
    FROM task t WHERE t.id = ANY($1)";

/// A task as its worker gets it.
#[derive(Debug)]
pub struct Claim {
    /// Which task.
    pub id: TaskId,
    /// The epoch this claim made.
    pub epoch: Epoch,
    /// Whose it is.
    pub owner: OwnerId,
    /// Which handler.
    pub name: String,
    /// Attempts, this one included, and what remains.
    pub budget: Budget,
    /// The hard time limit of this attempt.
    pub timeout: Option<Duration>,
    /// `{"args": […], "kwargs": {…}}`.
    pub input: Bytes,
    /// When it entered the queue.
    pub queued_at: Option<Timestamp>,
    /// When it was claimed.
    pub started_at: Option<Timestamp>,
    /// How long ago it was accepted, by the database's clock.
    pub age: Duration,
    /// When this attempt is asked to end, before its hard limit.
    pub soft_timeout: Option<Duration>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Attempts whose worker died.
    losses: i16,
    /// The node that it is, where it is one.
    pub member: Option<Member>,
    /// To be dropped once the outcome is recorded.
    pub hold: Option<Arc<Hold>>,
}

/// A pointer to claim.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRow {
    /// What the message said.
    pub pointer: Pointer,
    /// Whether a suspect may be claimed: the process runs no other.
    pub suspect: bool,
}

impl ClaimRow {
    /// Whether it was this row that made the claim: a batch may hold several pointers to one task.
    fn made(&self, claim: &Claim) -> bool {
        self.pointer.epoch.0.wrapping_add(1) == claim.epoch.0 && (self.suspect || claim.losses < suspect_losses())
    }
}

/// What became of a pointer.
#[derive(Debug)]
pub enum Claimed {
    /// Claimed: run it.
    Run(Box<Claim>),
    /// Terminal, running, or at another epoch: the message is worth nothing any more.
    Stale,
    /// A suspect, and the claim did not allow for one.
    Suspect,
    /// This worker has no such handler.
    NoHandler,
    /// Claimable by somebody else, or later: our session was declared dead, or it has expired and awaits its end.
    NotNow,
    /// No such task: forged, or of a restored database.
    Missing,
}

/// The claim writer's statement.
pub struct Claims {
    /// The session that claims; changes when it was declared dead and a new one opened.
    pub session: Arc<AtomicI64>,
    /// The worker's name, for people.
    pub worker: String,
    /// The handlers it has.
    pub names: Vec<String>,
    /// What is claimed together is held together.
    pub holds: Holds,
}

impl Batched for Claims {
    type Row = ClaimRow;
    type Answer = Claimed;
    const NAME: &'static str = "claim";
    /// Safe to repeat: a second try finds what the first one claimed by session and epoch.
    const PERSISTENT: bool = true;

    fn key(row: &ClaimRow) -> Uuid {
        row.pointer.id.0
    }

    async fn write(&self, db: &mut Object, rows: &[&ClaimRow], again: bool) -> Result<Vec<Claimed>, PgError> {
        #[cfg(feature = "failpoints")]
        crate::store::schema::drill::read_old_column(db).await?;
        let session = self.session.load(Ordering::Acquire);
        let claim = db.prepare_cached(CLAIM).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.pointer.id.0).collect();
        let epochs: Vec<i32> = rows.iter().map(|row| row.pointer.epoch.0).collect();
        let suspects: Vec<bool> = rows.iter().map(|row| row.suspect).collect();
        let grace = i64::try_from(DEADLINE_GRACE.as_millis()).unwrap_or(0);
        let claimed = db
            .query(
                &claim,
                &[
                    &ids,
                    &epochs,
                    &suspects,
                    &session,
                    &self.worker,
                    &self.names,
                    &grace,
                    &suspect_losses(),
                    &DEADLINE_MS_MAX,
                ],
            )
            .await?;
        let mut won = self.read_all(&claimed)?;
        let missed: Vec<Uuid> = ids.iter().copied().filter(|id| !won.contains_key(id)).collect();
        let seen = if missed.is_empty() { HashMap::new() } else { self.look(db, missed, session, again).await? };
        let taken: HashSet<Uuid> = won.keys().copied().collect();
        rows.iter()
            .map(|row| {
                let id = row.pointer.id.0;
                match won.remove(&id) {
                    Some(claim) if row.made(&claim) => return Ok(Claimed::Run(Box::new(claim))),
                    Some(claim) => drop(won.insert(id, claim)), // another row of this batch made it
                    None if taken.contains(&id) => return Ok(Claimed::Stale), // and has it already
                    None => return self.why_not(row, seen.get(&id), session, again),
                }
                Ok(Claimed::Stale)
            })
            .collect()
    }
}

impl Claims {
    fn read_all(&self, rows: &[Row]) -> Result<HashMap<Uuid, Claim>, PgError> {
        let Some(first) = rows.first() else { return Ok(HashMap::new()) };
        let hold = self.holds.of(first.try_get("hold")?);
        let with_hold = |row| read(row).map(|claim| (claim.id.0, Claim { hold: Some(Arc::clone(&hold)), ..claim }));
        rows.iter().map(with_hold).collect()
    }

    async fn look(
        &self,
        db: &Object,
        missed: Vec<Uuid>,
        session: i64,
        again: bool,
    ) -> Result<HashMap<Uuid, Row>, PgError> {
        let look = db.prepare_cached(LOOK).await?;
        let rows = db.query(&look, &[&missed, &session, &again]).await?;
        rows.into_iter().map(|row| Ok((row.try_get(0)?, row))).collect()
    }

    fn why_not(&self, row: &ClaimRow, seen: Option<&Row>, session: i64, again: bool) -> Result<Claimed, PgError> {
        let Some(seen) = seen else { return Ok(Claimed::Missing) };
        let epoch: i32 = seen.try_get("epoch")?;
        let state: &str = seen.try_get("state")?;
        let holder: Option<i64> = seen.try_get("session_id")?;
        let wanted = row.pointer.epoch.0;
        if again && state == State::Running.as_str() && holder == Some(session) && epoch == wanted.wrapping_add(1) {
            return Ok(Claimed::Run(Box::new(read(seen)?))); // the try whose answer was lost did claim it
        }
        if state != State::Queued.as_str() || epoch != wanted {
            return Ok(Claimed::Stale);
        }
        let name: &str = seen.try_get("name")?;
        let losses: i16 = seen.try_get("losses")?;
        Ok(if !self.names.iter().any(|known| known == name) {
            Claimed::NoHandler
        } else if losses >= suspect_losses() && !row.suspect {
            Claimed::Suspect
        } else {
            Claimed::NotNow
        })
    }
}

pub(super) fn member(row: &Row) -> Result<Option<Member>, PgError> {
    let workflow: Option<Uuid> = row.try_get("workflow_id")?;
    let Some(workflow) = workflow else { return Ok(None) };
    Ok(Some(Member { workflow, node: row.try_get("node")? }))
}

fn read(row: &Row) -> Result<Claim, PgError> {
    let (created_at, started_at): (Timestamp, Option<Timestamp>) =
        (row.try_get("created_at")?, row.try_get("started_at")?);
    let age = started_at.map(|started| started.duration_since(created_at));
    let input: Vec<u8> = row.try_get("input")?;
    Ok(Claim {
        id: TaskId(row.try_get("id")?),
        epoch: Epoch(row.try_get("epoch")?),
        owner: OwnerId(row.try_get("owner_id")?),
        name: row.try_get("name")?,
        budget: Budget {
            attempt: row.try_get("attempt")?,
            max_attempts: row.try_get("max_attempts")?,
            policy: RetryPolicy::stored(row.try_get("retry")?),
        },
        timeout: limit(row, "timeout_ms")?,
        soft_timeout: limit(row, "soft_timeout_ms")?,
        age: age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default(),
        input: input.into(),
        queued_at: row.try_get("queued_at")?,
        started_at,
        traceparent: row.try_get("traceparent")?,
        losses: row.try_get("losses")?,
        member: member(row)?,
        hold: None,
    })
}

fn limit(row: &Row, column: &str) -> Result<Option<Duration>, PgError> {
    let ms: Option<i64> = row.try_get(column)?;
    Ok(ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis))
}

/// What was handed over at its acceptance: its first attempt, by a statement that nothing came before.
pub(super) fn handed_over(row: &Row, hold: &Arc<Hold>) -> Result<Claim, PgError> {
    let accepted_at: Timestamp = row.try_get("created_at")?;
    let input: Vec<u8> = row.try_get("input")?;
    Ok(Claim {
        id: TaskId(row.try_get("id")?),
        epoch: Epoch(1),
        owner: OwnerId(row.try_get("owner_id")?),
        name: row.try_get("name")?,
        budget: Budget {
            attempt: 1,
            max_attempts: row.try_get("max_attempts")?,
            policy: RetryPolicy::stored(row.try_get("retry")?),
        },
        timeout: limit(row, "timeout_ms")?,
        soft_timeout: limit(row, "soft_timeout_ms")?,
        age: Duration::ZERO,
        input: input.into(),
        queued_at: Some(accepted_at),
        started_at: Some(accepted_at),
        traceparent: row.try_get("traceparent")?,
        losses: 0,
        member: None,
        hold: Some(Arc::clone(hold)),
    })
}
