//! Orphans: tasks that wait for a unique key which does not know them. There must be none; one that is found runs, because
//! what was accepted is never lost.

use crate::store::{
    Store, StoreError,
    tasks::{Owed, backlog::LISTED, read_owed},
};

/// What waits is set next in its key's row by the commit that inserts it, and every statement sees both or neither. A key
/// that has moved on to a task has queued it in the same commit.
const QUEUE_ORPHANS: &str = "
    WITH lost AS MATERIALIZED (
        SELECT t.id FROM task_run t WHERE t.waiting_reason = 'unique' AND (t.state = 'waiting') IS TRUE
            AND NOT EXISTS (SELECT FROM task_unique u WHERE u.next_id = t.id)
        ORDER BY t.id LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED
    ), done AS (
        UPDATE task_run t SET state = 'queued', waiting_reason = NULL, queued_at = now(), due_at = s.expires_at,
            version = t.version + 1
        FROM lost l JOIN task_spec s ON s.id = l.id WHERE t.id = l.id AND (t.state = 'waiting') IS TRUE
        RETURNING t.id, t.epoch, s.name, s.queue, s.priority, t.losses, t.owner_id, s.class
    ), {listed}, debt AS (
        INSERT INTO owed (ids) SELECT array_agg(id) FROM done HAVING count(*) > 0 RETURNING id
    )
    SELECT b.id AS debt, d.id, d.epoch, d.name, d.queue, d.priority, d.losses FROM done d, debt b";

impl Store {
    /// Queues up to `limit` tasks that wait for a key which does not know them; the caller publishes them.
    pub async fn queue_orphans(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.upkeep().await?;
        let queue = db.prepare_cached(&QUEUE_ORPHANS.replace("{listed}", LISTED)).await?;
        db.query(&queue, &[&limit]).await?.iter().map(read_owed).collect()
    }
}
