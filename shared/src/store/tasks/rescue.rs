//! Rescue: what a dead session held goes back to the queue, or ends where its budget or our patience is spent.
//!
//! Invariant: the statement repeats its whole condition, so a worker that records in the same moment wins or loses the
//! row, and never both.

use std::time::Duration;

use uuid::Uuid;

use super::claim::suspect_losses;
use crate::{
    broken::Rule,
    store::{
        Store, StoreError,
        workflows::sweep::{PLAIN, sweep},
    },
};

/// One round over the holds of dead sessions. A suspect that is lost again is poison: it ends, so that it cannot take one
/// worker after another with it. What another round has locked is that one's, or its worker's, which records it now.
const RESCUE: &str = "
    WITH lost AS MATERIALIZED (
        SELECT h.session_id, h.ids FROM hold h
        WHERE NOT EXISTS (SELECT FROM session s WHERE s.id = h.session_id AND NOT s.dead OFFSET 0)
    ), held AS (
        SELECT t.id, t.epoch, t.attempt, t.owner_id, t.worker, t.started_at, t.workflow_id, t.node,
            CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN t.losses >= $2 THEN 'poison'
                WHEN t.attempt >= t.max_attempts THEN 'worker_lost'
                ELSE 'again' END AS verdict
        FROM lost l CROSS JOIN LATERAL unnest(l.ids) AS i(id)
        JOIN task t ON t.id = i.id AND (t.state = 'running' AND t.session_id = l.session_id AND t.{whose}) IS TRUE
        LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED
    ), done AS (
        UPDATE task t SET
            state = CASE h.verdict WHEN 'again' THEN 'queued' WHEN 'cancelled' THEN 'cancelled'
                ELSE 'failed' END::task_state,
            losses = t.losses + 1, session_id = NULL, due_at = CASE WHEN h.verdict = 'again' THEN t.expires_at END,
            queued_at = CASE WHEN h.verdict = 'again' THEN now() ELSE t.queued_at END,
            finished_at = CASE WHEN h.verdict <> 'again' THEN clock_timestamp() END,
            error = CASE h.verdict WHEN 'again' THEN t.error WHEN 'cancelled' THEN NULL
                WHEN 'poison' THEN $3 ELSE $4 END,
            error_code = CASE WHEN h.verdict IN ('poison', 'worker_lost') THEN h.verdict ELSE '' END
        FROM held h WHERE t.id = h.id AND (t.state = 'running' AND t.epoch = h.epoch) IS TRUE
        RETURNING t.id, t.losses, t.state
    ), kept AS (
        INSERT INTO attempt (task_id, epoch, owner_id, attempt, outcome, error, worker, started_at)
        SELECT h.id, h.epoch, h.owner_id, h.attempt, 'lost', $4, h.worker, h.started_at
        FROM held h JOIN done d ON d.id = h.id WHERE h.verdict = 'again'
    ), debt AS (
        INSERT INTO owed (publish_after, ids)
        SELECT now(), array_agg(h.id) FROM held h JOIN done d ON d.id = h.id WHERE h.verdict = 'again' HAVING count(*) > 0
    )
    SELECT h.workflow_id, h.node, d.state::text, h.verdict FROM held h JOIN done d ON d.id = h.id";

/// The workflows of nodes that dead sessions hold.
const OF_LOST: &str = "
    SELECT DISTINCT s.workflow_id FROM (
        SELECT t.workflow_id FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
        JOIN task t ON t.id = i.id AND (t.state = 'running' AND t.session_id = h.session_id AND t.workflow_id IS NOT NULL) IS TRUE
        WHERE NOT EXISTS (SELECT FROM session s WHERE s.id = h.session_id AND NOT s.dead OFFSET 0)
        LIMIT $1) s";

const POISON: &[u8] = br#"{"code":"poison","message":"its worker died every time it ran"}"#;
const LOST: &[u8] = br#"{"code":"worker_lost","message":"the worker died while it ran"}"#;

/// What one round of rescue did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Rescued {
    /// Back in the queue.
    pub again: u64,
    /// Ended as poison.
    pub poison: u64,
    /// Ended because no attempt was left.
    pub spent: u64,
    /// Ended because their cancellation was requested.
    pub cancelled: u64,
}

impl Rescued {
    /// How many rows it touched.
    pub const fn total(self) -> u64 {
        self.again + self.poison + self.spent + self.cancelled
    }
}

impl Store {
    /// Rescues up to `limit` tasks of dead sessions.
    pub async fn rescue(&self, limit: i64) -> Result<Rescued, StoreError> {
        if Rule::RescueState.is_broken() {
            return self.rescue_late(limit).await;
        }
        let db = self.upkeep().await?;
        let rescue = db.prepare_cached(&RESCUE.replace("{whose}", PLAIN)).await?;
        let mut rows = db.query(&rescue, &[&limit, &suspect_losses(), &POISON, &LOST]).await?;
        drop(db);
        let nodes = RESCUE.replace("{whose}", "workflow_id = ANY($5)");
        rows.extend(sweep(self, OF_LOST, &nodes, limit, &[&suspect_losses(), &POISON, &LOST]).await?);
        let mut rescued = Rescued::default();
        for row in &rows {
            *match row.try_get("verdict")? {
                "again" => &mut rescued.again,
                "poison" => &mut rescued.poison,
                "cancelled" => &mut rescued.cancelled,
                _ => &mut rescued.spent,
            } += 1;
        }
        Ok(rescued)
    }

    /// For a negative control: looks, waits, and then acts on what it saw, whatever has become of it.
    async fn rescue_late(&self, limit: i64) -> Result<Rescued, StoreError> {
        let db = self.connection().await?;
        let held = "SELECT t.id FROM task t JOIN session s ON s.id = t.session_id
            WHERE s.dead AND t.state = 'running' LIMIT $1";
        let rows = db.query(held, &[&limit]).await?;
        let held: Vec<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        drop(db);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let take = "UPDATE task SET state = 'queued', session_id = NULL, finished_at = NULL WHERE id = ANY($1)";
        let again = self.connection().await?.execute(take, &[&held]).await?;
        Ok(Rescued { again, ..Rescued::default() })
    }
}
