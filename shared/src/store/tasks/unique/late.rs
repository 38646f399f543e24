//! For negative controls: turns as they were once given, in one statement. All its parts see what was committed before it
//! began; only the locked row is read as it is now. So a key may move on to a task that this statement does not see, and does
//! not queue.

use crate::store::{
    Store, StoreError,
    tasks::{Owed, backlog::LISTED, read_owed},
};

/// It dawdles between its snapshot and its locks, so that others come in between.
const TAKE_TURNS: &str = "
    WITH over AS MATERIALIZED (
        SELECT u.owner_id, u.hash, u.next_id FROM task_unique u
        WHERE u.next_id IS NOT NULL AND (SELECT pg_sleep(0.4)) IS NOT NULL AND NOT EXISTS (
            SELECT FROM task_run t WHERE t.id = u.task_id
                AND (t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE OFFSET 0)
        LIMIT $1 FOR UPDATE OF u SKIP LOCKED
    ), moved AS (
        UPDATE task_unique u SET task_id = o.next_id, next_id = NULL
        FROM over o WHERE u.owner_id = o.owner_id AND u.hash = o.hash
    ), done AS (
        UPDATE task_run t SET state = 'queued', waiting_reason = NULL, queued_at = now(), due_at = s.expires_at,
            version = t.version + 1
        FROM over o JOIN task_spec s ON s.id = o.next_id WHERE t.id = o.next_id AND (t.state = 'waiting') IS TRUE
        RETURNING t.id, t.epoch, s.name, s.queue, s.priority, t.losses, t.owner_id, s.class
    ), {listed}, debt AS (
        INSERT INTO owed (publish_after, ids)
        SELECT now() + interval '1 second', array_agg(id) FROM done HAVING count(*) > 0 RETURNING id
    )
    SELECT b.id AS debt, d.id, d.epoch, d.name, d.queue, d.priority, d.losses FROM done d, debt b";

impl Store {
    pub(super) async fn unblock_late(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        let db = self.upkeep().await?;
        let unblock = db.prepare_cached(&TAKE_TURNS.replace("{listed}", LISTED)).await?;
        db.query(&unblock, &[&limit]).await?.iter().map(read_owed).collect()
    }
}
