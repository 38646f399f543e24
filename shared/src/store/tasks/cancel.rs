//! Cancel: at once before the start; a request on the row while it runs, which the worker learns of with its beat. A task that
//! is a node is cancelled under the lock of its workflow, which moves on.

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    store::{
        AuditOrder, Store, StoreError, audit_log,
        workflows::{cancel_node, sweep::PLAIN},
    },
    task::{OwnerId, State, TaskId},
};

const CANCEL: &str = "
    UPDATE task_run t SET version = t.version + 1,
        state = CASE WHEN t.state = 'running' THEN t.state ELSE 'cancelled' END,
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        finished_at = CASE WHEN t.state = 'running' THEN NULL ELSE clock_timestamp() END,
        due_at = CASE WHEN t.state = 'running' THEN t.due_at END
    WHERE {which}
        AND (t.owner_id = $2 AND t.state IN ('scheduled', 'waiting', 'queued', 'running') AND {whose}) IS TRUE
    RETURNING t.state::text, t.id";

/// Waits for nobody, so that it can hold up no writer whose rows come in another order; what is left out is cancelled alone.
const FREE: &str = "
    WITH free AS MATERIALIZED (SELECT f.id FROM task_run f WHERE f.id = ANY($1) FOR UPDATE SKIP LOCKED)";

/// Of the tasks for which `which` and `whose` hold.
pub(super) fn cancel(which: &str, whose: &str) -> String {
    CANCEL.replace("{which}", which).replace("{whose}", whose)
}

const STANDING: &str = "
    SELECT state::text, id, queue FROM task WHERE id = ANY($1) AND (owner_id = $2) IS TRUE";

const SEE: &str = "SELECT state::text, workflow_id, node FROM task WHERE id = $1 AND (owner_id = $2) IS TRUE";

/// What became of a request to cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It had not started, and will not.
    Now,
    /// It runs; its worker was asked to stop it.
    Requested,
    /// It was over already, in this state.
    Over(State),
    /// No such task of this owner.
    Missing,
}

/// Where a task stands that somebody may want to cancel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// Its queue.
    pub queue: String,
}

impl Store {
    /// Where these tasks of this owner stand; those of others, and those that are no more, are left out.
    pub async fn standing(&self, owner: OwnerId, ids: &[TaskId]) -> Result<HashMap<TaskId, Standing>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let db = self.connection().await?;
        let see = db.prepare_cached(STANDING).await?;
        let rows = db.query(&see, &[&ids, &owner.0]).await?;
        let standing =
            |row: &Row| Ok((TaskId(row.try_get(1)?), Standing { state: read_state(row)?, queue: row.try_get(2)? }));
        rows.iter().map(standing).collect()
    }

    /// Cancels many tasks, as [`cancel_task`](Self::cancel_task) does each: those that are no nodes in one statement, the others,
    /// whose workflows move on, one by one. Logs the order first, with the statement. Stops at the first error; safe to repeat.
    pub async fn cancel_tasks(
        &self,
        ids: &[TaskId],
        order: &AuditOrder,
    ) -> Result<HashMap<TaskId, Cancelled>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let (owner, plain) = (order.owner, ids.iter().map(|id| id.0).collect::<Vec<Uuid>>());
        let mut db = self.edits().begin(owner, None).await?;
        let transaction = db.transaction().await?;
        let statement = format!("{FREE} {}", cancel("t.id IN (SELECT id FROM free)", PLAIN));
        let statement = transaction.prepare_cached(&statement).await?;
        let rows = transaction.query(&statement, &[&plain, &owner.0]).await?;
        audit_log::log(&*transaction, &[order]).await?;
        transaction.commit().await.map_err(StoreError::of_commit)?;
        drop(db);
        let now = |row: &Row| Ok::<_, StoreError>((TaskId(row.try_get(1)?), Cancelled::now(read_state(row)?)));
        let mut cancelled: HashMap<TaskId, Cancelled> = rows.iter().map(now).collect::<Result<_, _>>()?;
        for id in ids {
            if !cancelled.contains_key(id) {
                cancelled.insert(*id, self.cancel_task(owner, *id).await?);
            }
        }
        Ok(cancelled)
    }

    /// Cancels, or asks for it. Safe to repeat.
    pub async fn cancel_task(&self, owner: OwnerId, id: TaskId) -> Result<Cancelled, StoreError> {
        self.cancel_single(owner, id).await.map_err(StoreError::of_edit)
    }

    async fn cancel_single(&self, owner: OwnerId, id: TaskId) -> Result<Cancelled, StoreError> {
        let db = self.edits().begin(owner, None).await?;
        let statement = db.prepare_cached(&cancel("t.id = $1", PLAIN)).await?;
        if let Some(row) = db.query_opt(&statement, &[&id.0, &owner.0]).await? {
            return Ok(Cancelled::now(read_state(&row)?));
        }
        let see = db.prepare_cached(SEE).await?;
        let Some(row) = db.query_opt(&see, &[&id.0, &owner.0]).await? else { return Ok(Cancelled::Missing) };
        match (read_state(&row)?, row.try_get(1)?) {
            (state, Some(workflow)) if !state.is_terminal() => {
                drop(db);
                self.cancel_member(owner, id, (workflow, row.try_get(2)?)).await
            }
            (state, _) => Ok(Cancelled::Over(state)),
        }
    }

    /// Whose a task is.
    pub async fn task_owner(&self, id: TaskId) -> Result<Option<OwnerId>, StoreError> {
        let db = self.connection().await?;
        let whose = db.prepare_cached("SELECT owner_id FROM task_spec WHERE id = $1").await?;
        let row = db.query_opt(&whose, &[&id.0]).await?;
        row.map(|row| Ok(OwnerId(row.try_get(0)?))).transpose()
    }

    /// Nobody here publishes what its end leads to; a relay does.
    async fn cancel_member(&self, owner: OwnerId, id: TaskId, node: (Uuid, i32)) -> Result<Cancelled, StoreError> {
        let mut db = self.edits().begin(owner, Some(node.0)).await?;
        let cancelled = cancel_node(db.transaction().await?, &cancel("t.id = $1", "true"), (owner, id), node).await?;
        if let Some(state) = cancelled {
            return Ok(Cancelled::now(state));
        }
        let row = db.query_opt(SEE, &[&id.0, &owner.0]).await?;
        row.map_or(Ok(Cancelled::Missing), |row| Ok(Cancelled::Over(read_state(&row)?)))
    }
}

impl Cancelled {
    fn now(state: State) -> Self {
        if state == State::Running { Self::Requested } else { Self::Now }
    }
}

fn read_state(row: &Row) -> Result<State, StoreError> {
    let state: &str = row.try_get(0)?;
    state.parse().map_err(|_| StoreError::Data(state.into()))
}
