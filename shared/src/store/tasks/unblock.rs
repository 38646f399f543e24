//! Unblock: a task that waited behind a unique one takes its place once that has ended.
//!
//! Invariant: whose turn it is was decided when it was accepted, under the lock of the key's row; here the row only
//! moves on, so any number of processes may try.

use super::{Owed, owed::read_owed};
use crate::store::{Store, StoreError};

/// Whatever waits for its turn, and others do not look at.
const ANY: &str = "task_unique u WHERE u.next_id IS NOT NULL AND {over} LIMIT $1 FOR UPDATE OF u SKIP LOCKED";

/// Queues what waits behind holders that have ended. `{over}` in `picked` stands for that condition; others may publish
/// it after `respite`.
pub(super) fn take_turns(picked: &str, respite: &str) -> String {
    let over = "NOT EXISTS (SELECT FROM task t WHERE t.id = u.task_id
        AND (t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE OFFSET 0)";
    let picked = picked.replace("{over}", over);
    format!(
        "WITH over AS MATERIALIZED (
            SELECT u.owner_id, u.hash, u.next_id FROM {picked}
        ), moved AS (
            UPDATE task_unique u SET task_id = o.next_id, next_id = NULL
            FROM over o WHERE u.owner_id = o.owner_id AND u.hash = o.hash
        ), done AS (
            UPDATE task t SET state = 'queued', waiting_reason = NULL, queued_at = now(), due_at = t.expires_at
            FROM over o WHERE t.id = o.next_id AND (t.state = 'waiting') IS TRUE
            RETURNING t.id, t.epoch, t.queue, t.priority, t.losses
        ), debt AS (
            INSERT INTO owed (publish_after, ids)
            SELECT now() + interval '{respite}', array_agg(id) FROM done HAVING count(*) > 0 RETURNING id
        )
        SELECT b.id AS debt, d.id, d.epoch, d.queue, d.priority, d.losses FROM done d, debt b"
    )
}

impl Store {
    /// Queues up to `limit` tasks whose turn has come; the caller publishes them, and a relay does if it cannot.
    pub async fn unblock(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.writer().await?;
        let unblock = db.prepare_cached(&take_turns(ANY, "1 second")).await?;
        db.query(&unblock, &[&limit]).await?.iter().map(read_owed).collect()
    }
}
