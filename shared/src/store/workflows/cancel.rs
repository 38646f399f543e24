//! Cancel: of a whole workflow, and of one task that is a node.
//!
//! Invariant: a stop goes on in steps of its own transactions (`advance.rs`), and the row knows how far it has come. So nobody
//! waits long for the workflow's lock however many nodes it has, several processes can share a stop, and one whose process
//! died is finished by a reconciler.

use std::collections::BTreeSet;

use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::{
    WorkflowView,
    advance::{Advanced, End, advance, lock, stop},
    show::view,
};
use crate::{
    store::{AuditOrder, Store, StoreError, audit_log, connection::Unit},
    task::{OwnerId, State, TaskId},
    workflow::WorkflowState,
};

/// Nothing of it starts any more. A stop that is under way goes on from where it is.
const ASK: &str = "
    UPDATE workflow SET cancel_requested_at = coalesce(cancel_requested_at, now()), stopping = true,
        stop_next = coalesce(stop_next, 0)
    WHERE id = $1 AND (owner_id = $2 AND state = 'running') IS TRUE";

const IS_STOPPING: &str = "SELECT EXISTS (SELECT FROM workflow WHERE id = $1 AND (stop_next IS NOT NULL) IS TRUE)";

/// A stop that nobody works on at this moment.
const FIND_STOP: &str = "
    SELECT id FROM workflow WHERE stop_next IS NOT NULL ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED";

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

/// What a step of a cancellation found and did.
struct CancelStep {
    /// None: no such workflow of this owner.
    view: Option<WorkflowView>,
    /// It had not ended before.
    is_open: bool,
    /// Tasks, and the workflow, that have ended now.
    ended: Vec<TaskId>,
    /// More steps are left.
    goes_on: bool,
}

/// Which step of a cancellation.
enum CancelTurn<'a> {
    /// It asks for the stop, and logs the order if there is one.
    First(Option<&'a AuditOrder>),
    /// It was asked for.
    Later,
}

impl Store {
    /// Cancels what has not started, and asks what runs to stop. Safe to repeat. Dropped in the middle, or failed, a
    /// cancellation that has begun is finished by a reconciler.
    pub async fn cancel_workflow(&self, owner: OwnerId, id: Uuid) -> Result<CancelledWorkflow, StoreError> {
        self.cancel_in_steps(owner, id, None).await
    }

    /// The same, as somebody else's order, which is logged if the workflow had not ended.
    pub async fn cancel_workflow_by(&self, order: &AuditOrder, id: Uuid) -> Result<CancelledWorkflow, StoreError> {
        self.cancel_in_steps(order.owner, id, Some(order)).await
    }

    async fn cancel_in_steps(
        &self,
        owner: OwnerId,
        id: Uuid,
        order: Option<&AuditOrder>,
    ) -> Result<CancelledWorkflow, StoreError> {
        let mut step = self.cancel_step(owner, id, CancelTurn::First(order)).await.map_err(StoreError::of_edit)?;
        let (is_open, mut ended) = (step.is_open, step.ended);
        while step.goes_on {
            step = self.cancel_step(owner, id, CancelTurn::Later).await.map_err(StoreError::of_edit)?;
            ended.append(&mut step.ended);
        }
        let Some(view) = step.view else { return Ok(CancelledWorkflow::Missing) };
        Ok(match view.state {
            state @ (WorkflowState::Succeeded | WorkflowState::Failed) if !is_open => CancelledWorkflow::Over(state),
            _ => CancelledWorkflow::Asked(Box::new(view), ended),
        })
    }

    /// One transaction: asks for the stop if it is the first, and takes one step of it.
    async fn cancel_step(&self, owner: OwnerId, id: Uuid, turn: CancelTurn<'_>) -> Result<CancelStep, StoreError> {
        let mut db = self.edits().begin(owner, Some(id)).await?;
        let transaction = db.transaction().await?;
        lock(&transaction, &BTreeSet::from([id])).await?;
        let is_open = match turn {
            CancelTurn::First(_) => transaction.execute(ASK, &[&id, &owner.0]).await? > 0,
            CancelTurn::Later => true,
        };
        if let CancelTurn::First(Some(order)) = turn
            && is_open
        {
            audit_log::log(&*transaction, &[order]).await?;
        }
        let ended = if is_open { stop_step(&transaction, id).await?.ended } else { Vec::new() };
        let view = view(&*transaction, owner, id).await?;
        let goes_on = is_open && transaction.query_one(IS_STOPPING, &[&id]).await?.try_get(0)?;
        transaction.commit().await.map_err(StoreError::of_commit)?;
        fail::fail_point!("workflow.cancel_stepped", |_| std::process::abort());
        Ok(CancelStep { view, is_open, ended, goes_on })
    }

    /// For a reconciler: takes one step of a stop that nobody works on; the tasks that have ended with it. `None` where there
    /// is no such stop. What it queues a relay publishes.
    pub async fn stop_on(&self) -> Result<Option<Vec<TaskId>>, StoreError> {
        let mut db = self.upkeep().await?;
        let transaction = db.transaction().await?;
        let find = transaction.prepare_cached(FIND_STOP).await?;
        let Some(row) = transaction.query_opt(&find, &[]).await? else { return Ok(None) };
        let ended = stop_step(&transaction, row.try_get(0)?).await?.ended;
        transaction.commit().await?;
        Ok(Some(ended))
    }

    /// Whose a workflow is.
    pub async fn workflow_owner(&self, id: Uuid) -> Result<Option<OwnerId>, StoreError> {
        let db = self.connection().await?;
        let whose = db.prepare_cached("SELECT owner_id FROM workflow WHERE id = $1").await?;
        let row = db.query_opt(&whose, &[&id]).await?;
        row.map(|row| Ok(OwnerId(row.try_get(0)?))).transpose()
    }
}

/// Takes one step of the stop of this workflow, whose lock the caller holds.
async fn stop_step(db: &Unit<'_>, id: Uuid) -> Result<Advanced, PgError> {
    let mut advanced = Advanced::default();
    let ends = stop(db, &[id], &mut advanced).await?;
    advanced.ended.extend(advance(db, ends).await?.ended);
    Ok(advanced)
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
