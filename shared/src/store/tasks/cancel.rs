//! Cancel: at once before the start; a request on the row while it runs, which the worker learns of with its beat. A task that
//! is a node is cancelled under the lock of its workflow, which moves on.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    store::{
        Store, StoreError,
        workflows::{cancel_node, sweep::PLAIN},
    },
    task::{OwnerId, State, TaskId},
};

pub(super) const CANCEL: &str = "
    UPDATE task t SET
        state = CASE WHEN t.state = 'running' THEN t.state ELSE 'cancelled' END,
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        finished_at = CASE WHEN t.state = 'running' THEN NULL ELSE clock_timestamp() END,
        due_at = CASE WHEN t.state = 'running' THEN t.due_at END
    WHERE t.id = $1
        AND (t.owner_id = $2 AND t.state IN ('scheduled', 'waiting', 'queued', 'running') AND {whose}) IS TRUE
    RETURNING t.state::text";

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

impl Store {
    /// Cancels, or asks for it. Safe to repeat.
    pub async fn cancel_task(&self, owner: OwnerId, id: TaskId) -> Result<Cancelled, StoreError> {
        let db = self.connection().await?;
        let cancel = db.prepare_cached(&CANCEL.replace("{whose}", PLAIN)).await?;
        if let Some(row) = db.query_opt(&cancel, &[&id.0, &owner.0]).await? {
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
        let whose = db.prepare_cached("SELECT owner_id FROM task WHERE id = $1").await?;
        let row = db.query_opt(&whose, &[&id.0]).await?;
        row.map(|row| Ok(OwnerId(row.try_get(0)?))).transpose()
    }

    /// Nobody here publishes what its end leads to; a relay does.
    async fn cancel_member(&self, owner: OwnerId, id: TaskId, node: (Uuid, i32)) -> Result<Cancelled, StoreError> {
        let mut db = self.writer().await?;
        let cancelled =
            cancel_node(db.transaction().await?, &CANCEL.replace("{whose}", "true"), (owner, id), node).await?;
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
