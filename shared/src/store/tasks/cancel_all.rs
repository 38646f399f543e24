//! Cancel all that a user has not finished: its plain tasks in pieces, its workflows one by one, each under its own lock.

use tokio_postgres::Row;
use uuid::Uuid;

use super::{backlog::IS_STILL, cancel::cancel};
use crate::{
    store::{Store, StoreError, workflows::sweep::PLAIN},
    task::OwnerId,
};

/// What has not started is found by the backlog, row by row from the one after `$2`; what runs by the holds, once it is through.
const UNSTARTED: &str = "
    WITH rows AS MATERIALIZED (
        SELECT b.id, b.queued, b.ids FROM backlog b WHERE b.owner_id = $1 AND b.id > $2 ORDER BY b.id LIMIT $3
    )
    SELECT b.id AS row, r.id, s.workflow_id FROM rows b LEFT JOIN LATERAL (
        SELECT r.id FROM unnest(b.ids) AS i(id) JOIN task_run r ON r.id = i.id AND {is_still}
    ) r ON true LEFT JOIN task_spec s ON s.id = r.id
    ORDER BY b.id";

const RUNNING: &str = "
    SELECT 0::int8 AS row, r.id, s.workflow_id FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
    JOIN task_run r ON r.id = i.id AND (r.state = 'running' AND r.session_id = h.session_id AND r.owner_id = $1
        AND r.cancel_requested_at IS NULL) IS TRUE
    JOIN task_spec s ON s.id = r.id LIMIT $2";

/// Rows of one step: a thousand tasks or less, where they were posted in batches of 25.
const ROWS_AT_ONCE: i64 = 40;
/// Running tasks of one step.
const AT_ONCE: i64 = 1000;

/// How far a cancellation of all has come: the last row of the backlog that it has looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct CancelledUpTo(i64);

impl Store {
    /// Cancels the next unfinished tasks of a user, and the whole workflows that they are nodes of; where to go on, `None` when
    /// there are no more. What runs is asked to stop. Safe to repeat from the beginning.
    pub async fn cancel_some_of(
        &self,
        owner: OwnerId,
        from: CancelledUpTo,
    ) -> Result<Option<CancelledUpTo>, StoreError> {
        self.cancel_next_of(owner, from).await.map_err(StoreError::of_edit)
    }

    async fn cancel_next_of(&self, owner: OwnerId, from: CancelledUpTo) -> Result<Option<CancelledUpTo>, StoreError> {
        let db = self.edits().begin(owner, None).await?;
        let unstarted = db.prepare_cached(&UNSTARTED.replace("{is_still}", IS_STILL)).await?;
        let mut found: Vec<Row> = db.query(&unstarted, &[&owner.0, &from.0, &ROWS_AT_ONCE]).await?;
        if found.is_empty() {
            found = db.query(&db.prepare_cached(RUNNING).await?, &[&owner.0, &AT_ONCE]).await?;
        }
        let Some(last) = found.last() else { return Ok(None) };
        let next = CancelledUpTo(from.0.max(last.try_get("row")?));
        let (mut plain, mut workflows) = (Vec::new(), Vec::new());
        for row in &found {
            match (row.try_get::<_, Option<Uuid>>("id")?, row.try_get::<_, Option<Uuid>>("workflow_id")?) {
                (Some(task), None) => plain.push(task),
                (_, Some(workflow)) => workflows.push(workflow),
                (None, None) => {}
            }
        }
        plain.sort_unstable();
        plain.dedup();
        let cancel = db.prepare_cached(&cancel("t.id = ANY($1)", PLAIN)).await?;
        db.query(&cancel, &[&plain, &owner.0]).await?;
        drop(db);
        workflows.sort_unstable();
        workflows.dedup();
        for workflow in workflows {
            self.cancel_workflow(owner, workflow).await?;
        }
        Ok(Some(next))
    }
}
