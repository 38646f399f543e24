//! Delete: a task that has ended goes before its time, with its attempts, its tags and its unique key.
//!
//! Invariant: only what is terminal goes, and the statement says so itself. A node stays as long as its workflow, whose other
//! nodes refer to it.

use uuid::Uuid;

use crate::{
    store::{AuditOrder, Store, StoreError, audit_log, retention::BESIDE},
    task::{State, TaskId},
};

const DELETE: &str = "
    WITH gone AS (
        DELETE FROM task_run t USING task_spec s
        WHERE s.id = $1 AND t.id = $1 AND (t.owner_id = $2 AND t.state IN ('succeeded', 'failed', 'cancelled', 'expired')) IS TRUE
            AND (s.workflow_id IS NULL OR NOT EXISTS (SELECT FROM workflow w WHERE w.id = s.workflow_id)) IS TRUE
        RETURNING t.id, t.owner_id, t.state, s.tags
    ), {beside}
    SELECT count(*) FROM gone";

const SEE: &str = "SELECT state::text, workflow_id FROM task WHERE id = $1 AND (owner_id = $2) IS TRUE";

/// What became of a request to delete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It has not ended; nothing was done.
    NotYet(State),
    /// It is a node of this workflow; nothing was done.
    Node(Uuid),
    /// No such task of this owner.
    Missing,
}

impl Store {
    /// Deletes a task that has ended, and logs the order.
    pub async fn delete_task(&self, id: TaskId, order: &AuditOrder) -> Result<Deleted, StoreError> {
        self.delete_ended(id, order).await.map_err(StoreError::of_edit)
    }

    async fn delete_ended(&self, id: TaskId, order: &AuditOrder) -> Result<Deleted, StoreError> {
        let mut db = self.edits().begin(order.owner, None).await?;
        let transaction = db.transaction().await?;
        let delete = transaction.prepare_cached(&DELETE.replace("{beside}", BESIDE)).await?;
        let gone: i64 = transaction.query_one(&delete, &[&id.0, &order.owner.0]).await?.try_get(0)?;
        if gone > 0 {
            audit_log::log(&*transaction, &[order]).await?;
            transaction.commit().await.map_err(StoreError::of_commit)?;
            return Ok(Deleted::Done);
        }
        let see = transaction.prepare_cached(SEE).await?;
        let Some(row) = transaction.query_opt(&see, &[&id.0, &order.owner.0]).await? else {
            return Ok(Deleted::Missing);
        };
        let state: &str = row.try_get(0)?;
        let state: State = state.parse().map_err(|_| StoreError::Data(state.into()))?;
        Ok(match row.try_get(1)? {
            Some(workflow) => Deleted::Node(workflow),
            None => Deleted::NotYet(state),
        })
    }
}
