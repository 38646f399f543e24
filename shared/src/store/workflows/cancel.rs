//! Cancel: of a whole workflow, and of one task that is a node.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    WorkflowView,
    advance::{Advanced, End, advance, lock, stop},
    show::view,
};
use crate::{
    store::{Store, StoreError, connection::Unit},
    task::{OwnerId, State, TaskId},
    workflow::WorkflowState,
};

const ASK: &str = "
    UPDATE workflow SET cancel_requested_at = coalesce(cancel_requested_at, now()), stopping = true
    WHERE id = $1 AND (owner_id = $2 AND state = 'running') IS TRUE";

/// What became of a request to cancel a workflow.
#[derive(Debug)]
pub enum CancelledWorkflow {
    /// It is over, or will be once what runs has stopped. With the tasks that ended at once, and the workflow if it has.
    Asked(Box<WorkflowView>, Vec<TaskId>),
    /// It was over already, in this state.
    Over(WorkflowState),
    /// No such workflow of this owner.
    Missing,
}

impl Store {
    /// Cancels what has not started, and asks what runs to stop. Safe to repeat.
    pub async fn cancel_workflow(&self, owner: OwnerId, id: Uuid) -> Result<CancelledWorkflow, StoreError> {
        let mut db = self.writer().await?;
        let transaction = db.transaction().await?;
        lock(&transaction, &BTreeSet::from([id])).await?;
        let asked = transaction.execute(ASK, &[&id, &owner.0]).await?;
        let mut ended = Advanced::default();
        if asked > 0 {
            let ends = stop(&transaction, &[id], &mut ended).await?;
            ended.ended.extend(advance(&transaction, ends).await?.ended);
        }
        let Some(view) = view(&*transaction, owner, id).await? else { return Ok(CancelledWorkflow::Missing) };
        transaction.commit().await.map_err(StoreError::of_commit)?;
        Ok(match view.state {
            state @ (WorkflowState::Succeeded | WorkflowState::Failed) if asked == 0 => CancelledWorkflow::Over(state),
            _ => CancelledWorkflow::Asked(Box::new(view), ended.ended),
        })
    }

    /// Whose a workflow is.
    pub async fn workflow_owner(&self, id: Uuid) -> Result<Option<OwnerId>, StoreError> {
        let db = self.connection().await?;
        let whose = db.prepare_cached("SELECT owner_id FROM workflow WHERE id = $1").await?;
        let row = db.query_opt(&whose, &[&id]).await?;
        row.map(|row| Ok(OwnerId(row.try_get(0)?))).transpose()
    }
}

/// Cancels one task that is a node of this workflow by `statement`, which takes its id and its owner and returns its state.
pub(in crate::store) async fn cancel_node(
    db: Unit<'_>,
    statement: &str,
    (owner, task): (OwnerId, TaskId),
    (workflow, node): (Uuid, i32),
) -> Result<Option<State>, StoreError> {
    lock(&db, &BTreeSet::from([workflow])).await?;
    let cancel = db.prepare_cached(statement).await?;
    let Some(row) = db.query_opt(&cancel, &[&task.0, &owner.0]).await? else { return Ok(None) };
    let state: State = row.try_get::<_, &str>(0)?.parse().map_err(|_| StoreError::Data("a task's state".into()))?;
    if state.is_terminal() {
        advance(&db, vec![End::of(workflow, node, state)]).await?;
    }
    db.commit().await.map_err(StoreError::of_commit)?;
    Ok(Some(state))
}
