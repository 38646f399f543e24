//! Lists of workflows, and the end of one that is over.

use uuid::Uuid;

use super::{
    WorkflowView,
    show::{COLUMNS, read},
};
use crate::{
    store::{AuditOrder, Store, StoreError, audit_log},
    task::OwnerId,
};

const LOCK: &str = "SELECT finished_at IS NOT NULL FROM workflow WHERE id = $1 AND (owner_id = $2) IS TRUE FOR UPDATE";

/// As retention does: its tasks stay, and go at their own time.
const DELETE: &str = "
    WITH nodes AS (DELETE FROM workflow_node WHERE workflow_id = $1)
    DELETE FROM workflow WHERE id = $1";

/// What became of an order to delete a workflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeletedWorkflow {
    /// It is gone.
    Gone,
    /// It has not ended.
    Running,
    /// No such workflow of this owner.
    Missing,
}

impl Store {
    /// Workflows of an owner with ids below `before`, the newest first.
    pub async fn list_workflows(
        &self,
        owner: OwnerId,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<WorkflowView>, StoreError> {
        let db = self.connection().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM workflow WHERE owner_id = $1 AND id < $2 ORDER BY owner_id DESC, id DESC LIMIT $3"
        );
        db.query(&db.prepare_cached(&sql).await?, &[&owner.0, &before, &limit]).await?.iter().map(read).collect()
    }

    /// Deletes a workflow that has ended, and logs the order.
    pub async fn delete_workflow(&self, id: Uuid, order: &AuditOrder) -> Result<DeletedWorkflow, StoreError> {
        let mut db = self.edits().begin(order.owner, Some(id)).await?;
        let transaction = db.transaction().await?;
        let Some(row) = transaction.query_opt(LOCK, &[&id, &order.owner.0]).await? else {
            return Ok(DeletedWorkflow::Missing);
        };
        if !row.try_get::<_, bool>(0)? {
            return Ok(DeletedWorkflow::Running);
        }
        transaction.execute(DELETE, &[&id]).await?;
        audit_log::log(&*transaction, &[order]).await?;
        transaction.commit().await.map_err(StoreError::of_commit)?;
        Ok(DeletedWorkflow::Gone)
    }
}
