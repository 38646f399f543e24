//! Worker sessions: one row per start of a worker process, judged dead by an unchanged beat, never by a clock.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::task::{Epoch, SessionId, TaskId};

/// What a worker says of itself when it starts.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// `host:pid`, for people.
    pub name: String,
    /// The host's name.
    pub host: String,
    /// The id that this process has put into the slot file that it holds locked, if it has one.
    pub slot: Option<String>,
    /// The ids of earlier holders of that file.
    pub replaces: Vec<String>,
    /// What it serves.
    pub queues: Vec<LoadedQueue>,
}

/// A queue as one worker serves it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LoadedQueue {
    /// Which queue.
    pub name: String,
    /// Tasks at once.
    pub slots: u32,
    /// Slots that are taken now.
    pub busy: u32,
    /// Handlers that go on though their attempt was given up: they ran past their hard limit, or past the grace after
    /// a cancel request, and cannot be ended.
    #[serde(default)]
    pub overdue: u32,
    /// Of the busy slots, those that such a handler holds because too many are overdue.
    #[serde(default)]
    pub withheld: u32,
}

/// What a beat brings back.
#[derive(Clone, Debug)]
pub enum BeatAnswer {
    /// We are alive.
    Alive {
        /// Tasks of ours whose cancellation was requested.
        cancelled: HashSet<(TaskId, Epoch)>,
        /// Stop taking work.
        drain: bool,
        /// This session is the one that runs the reconcilers, until its next beat.
        reconciles: bool,
        /// What it has seen.
        sighting: Sighting,
    },
    /// Somebody declared us dead: what we hold is no longer ours.
    Dead,
}

/// What a beat sees of the others.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Every session not known to be dead.
    pub living: Vec<SeenSession>,
    /// What the database's clock says.
    pub clock: Timestamp,
}

/// A session as a watcher sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenSession {
    /// Which.
    pub id: SessionId,
    /// Its beat.
    pub beat: i64,
}

/// A worker as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerView {
    /// The session.
    pub id: i64,
    /// `host:pid`.
    pub name: String,
    /// The host.
    pub host: String,
    /// `native`.
    pub kind: String,
    /// What it serves.
    pub queues: Vec<LoadedQueue>,
    /// Handlers that go on though their attempt was given up, of all its queues.
    pub overdue: u32,
    /// Told to stop taking work.
    pub draining: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// Its last beat.
    pub seen_at: Timestamp,
}

/// One beat. In the same statement it asks for the reconcilers' lease, which is free when its holder has missed a beat: it saves
/// work and decides nothing, so nobody minds if two hold it for a moment.
const BEAT: &str = "
    WITH beat AS (
        UPDATE session SET beat = beat + 1, seen_at = now(), queues = $2 WHERE id = $1 AND NOT dead RETURNING drain
    ), lease AS (
        UPDATE upkeep SET holder = $1, held_until = CASE WHEN $3 THEN now() + interval '6 seconds' ELSE '-infinity' END
        WHERE name = 'reconcilers' AND (holder = $1 OR ($3 AND held_until < now())) AND EXISTS (SELECT FROM beat)
        RETURNING $3::bool AS held
    )
    SELECT b.drain, EXISTS (SELECT FROM lease WHERE held) AS reconciles, clock_timestamp() AS clock,
        ARRAY(SELECT id FROM session WHERE NOT dead ORDER BY id) AS ids,
        ARRAY(SELECT beat FROM session WHERE NOT dead ORDER BY id) AS beats
    FROM beat b";

/// Ends sessions, and frees the lease if one of them has it.
const END: &str = "
    WITH gone AS (
        UPDATE session SET dead = true, ended_at = now() WHERE NOT dead AND {which} RETURNING id
    ), freed AS (
        UPDATE upkeep u SET held_until = '-infinity' FROM gone g WHERE u.holder = g.id
    )
    SELECT count(*) FROM gone";

impl Store {
    /// Opens a session. Those that held the same slot are dead: their file's lock is ours now.
    pub async fn open_session(&self, new: &NewSession) -> Result<SessionId, StoreError> {
        let mut db = self.connection().await?;
        let transaction = db.transaction().await?;
        if !new.replaces.is_empty() {
            let replace = END.replace("{which}", "slot = ANY($1)");
            let replaced: i64 = transaction.query_one(&replace, &[&new.replaces]).await?.try_get(0)?;
            if replaced > 0 {
                tracing::info!(session.replaced = replaced, "the slot's last session is dead");
            }
        }
        let row = transaction
            .query_one(
                "INSERT INTO session (name, host, slot, queues) VALUES ($1, $2, $3, $4) RETURNING id",
                &[&new.name, &new.host, &new.slot, &queues_json(&new.queues)],
            )
            .await?;
        transaction.commit().await?;
        Ok(SessionId(row.try_get(0)?))
    }

    /// One beat; brings back cancel and drain orders, and what it sees of the others. A worker that stops does not reconcile: it
    /// frees the lease.
    pub async fn beat(
        &self,
        id: SessionId,
        queues: &[LoadedQueue],
        may_reconcile: bool,
    ) -> Result<BeatAnswer, StoreError> {
        let db = self.beats().await?;
        let beat = db.prepare_cached(BEAT).await?;
        let Some(row) = db.query_opt(&beat, &[&id.0, &queues_json(queues), &may_reconcile]).await? else {
            return Ok(BeatAnswer::Dead);
        };
        let (ids, beats): (Vec<i64>, Vec<i64>) = (row.try_get("ids")?, row.try_get("beats")?);
        let living = ids.into_iter().zip(beats).map(|(id, beat)| SeenSession { id: SessionId(id), beat }).collect();
        let sighting = Sighting { living, clock: row.try_get("clock")? };
        let (drain, reconciles) = (row.try_get("drain")?, row.try_get("reconciles")?);
        let orders = db
            .prepare_cached(
                "SELECT t.id, t.epoch FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
                 JOIN task_run t ON t.id = i.id
                    AND (t.session_id = $1 AND t.state = 'running' AND t.cancel_requested_at IS NOT NULL) IS TRUE
                 WHERE h.session_id = $1",
            )
            .await?;
        let cancelled = db.query(&orders, &[&id.0]).await?;
        let read = |row: &tokio_postgres::Row| Ok((TaskId(row.try_get(0)?), Epoch(row.try_get(1)?)));
        let cancelled = cancelled.iter().map(read).collect::<Result<_, StoreError>>()?;
        Ok(BeatAnswer::Alive { cancelled, drain, reconciles, sighting })
    }

    /// Declares a session dead if its beat is still the one that was watched; whether it was.
    pub async fn declare_dead(&self, seen: SeenSession) -> Result<bool, StoreError> {
        let db = self.connection().await?;
        let declare = db.prepare_cached(&END.replace("{which}", "id = $1 AND beat = $2")).await?;
        Ok(db.query_one(&declare, &[&seen.id.0, &seen.beat]).await?.try_get::<_, i64>(0)? > 0)
    }

    /// Hands nothing over to one's own session any more.
    pub async fn drain_session(&self, id: SessionId) -> Result<(), StoreError> {
        let db = self.beats().await?;
        let drain = db.prepare_cached("UPDATE session SET drain = true WHERE id = $1 AND NOT drain").await?;
        db.execute(&drain, &[&id.0]).await?;
        Ok(())
    }

    /// Ends one's own session; what it still holds is rescued at once.
    pub async fn close_session(&self, id: SessionId) -> Result<(), StoreError> {
        let db = self.connection().await?;
        db.query_one(&END.replace("{which}", "id = $1"), &[&id.0]).await?;
        Ok(())
    }

    /// Workers alive.
    pub async fn show_workers(&self) -> Result<Vec<WorkerView>, StoreError> {
        let db = self.connection().await?;
        let query = db
            .prepare_cached(
                "SELECT id, name, host, kind, queues, drain, started_at, seen_at FROM session WHERE NOT dead ORDER BY id",
            )
            .await?;
        db.query(&query, &[])
            .await?
            .iter()
            .map(|row| {
                let queues: Vec<LoadedQueue> =
                    serde_json::from_value(row.try_get(4)?).map_err(|error| StoreError::Data(error.to_string()))?;
                Ok(WorkerView {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                    host: row.try_get(2)?,
                    kind: row.try_get(3)?,
                    overdue: queues.iter().map(|queue| queue.overdue).sum(),
                    queues,
                    draining: row.try_get(5)?,
                    started_at: row.try_get(6)?,
                    seen_at: row.try_get(7)?,
                })
            })
            .collect()
    }
}

fn queues_json(queues: &[LoadedQueue]) -> Value {
    serde_json::to_value(queues).unwrap_or_default()
}
