//! Cancel: at once before the start; a request on the row while it runs, which the worker learns of with its beat.

use crate::{
    store::{Store, StoreError},
    task::{OwnerId, State, TaskId},
};

const CANCEL: &str = "
    UPDATE task t SET
        state = CASE WHEN t.state = 'running' THEN t.state ELSE 'cancelled' END,
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        finished_at = CASE WHEN t.state = 'running' THEN NULL ELSE clock_timestamp() END,
        due_at = CASE WHEN t.state = 'running' THEN t.due_at END
    WHERE t.id = $1
        AND (t.owner_id = $2 AND t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE
    RETURNING t.state::text";

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
        let cancel = db.prepare_cached(CANCEL).await?;
        if let Some(row) = db.query_opt(&cancel, &[&id.0, &owner.0]).await? {
            let running = row.try_get::<_, &str>(0)? == State::Running.as_str();
            return Ok(if running { Cancelled::Requested } else { Cancelled::Now });
        }
        let state = db.prepare_cached("SELECT state::text FROM task WHERE id = $1 AND (owner_id = $2) IS TRUE").await?;
        match db.query_opt(&state, &[&id.0, &owner.0]).await? {
            None => Ok(Cancelled::Missing),
            Some(row) => {
                let state: &str = row.try_get(0)?;
                state.parse().map(Cancelled::Over).map_err(|_| StoreError::Data(state.into()))
            }
        }
    }
}
