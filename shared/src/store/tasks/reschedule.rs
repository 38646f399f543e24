//! Reschedule: a task that is scheduled starts at another time. The promoter looks at `due_at`, so this is no transition: the
//! promotion comes when it is due.

use jiff::Timestamp;

use crate::{
    store::{Store, StoreError},
    task::{OwnerId, Start, State, TaskId},
};

/// What expires before its new start would never run.
const MOVE: &str = "
    UPDATE task_run t SET due_at = coalesce($3, now() + $4::float8 * interval '1 second', now()), run_at = NULL,
        version = t.version + 1
    FROM task_spec s WHERE s.id = $1 AND t.id = $1 AND (t.owner_id = $2 AND t.state = 'scheduled'
        AND coalesce($3, now() + $4 * interval '1 second', now()) < coalesce(s.expires_at, 'infinity')) IS TRUE";

const SEE: &str = "SELECT state::text, expires_at FROM task WHERE id = $1 AND (owner_id = $2) IS TRUE";

/// What became of a request to start at another time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rescheduled {
    /// It starts then.
    Done,
    /// It expires before that, at this time; nothing was done.
    Expires(Timestamp),
    /// It is not scheduled but stands there; nothing was done.
    Not(State),
    /// No such task of this owner.
    Missing,
}

impl Store {
    /// Moves the start of a scheduled task. A start in the past is a start now.
    pub async fn reschedule_task(&self, owner: OwnerId, id: TaskId, start: Start) -> Result<Rescheduled, StoreError> {
        self.move_start(owner, id, start).await.map_err(StoreError::of_edit)
    }

    async fn move_start(&self, owner: OwnerId, id: TaskId, start: Start) -> Result<Rescheduled, StoreError> {
        let (at, delay) = match start {
            Start::Now => (None, None),
            Start::At(time) => (Some(time), None),
            Start::After(delay) => (None, Some(delay.as_secs_f64())),
        };
        let db = self.edits().begin(owner, None).await?;
        let statement = db.prepare_cached(MOVE).await?;
        if db.execute(&statement, &[&id.0, &owner.0, &at, &delay]).await? > 0 {
            return Ok(Rescheduled::Done);
        }
        let see = db.prepare_cached(SEE).await?;
        let Some(row) = db.query_opt(&see, &[&id.0, &owner.0]).await? else { return Ok(Rescheduled::Missing) };
        let state: &str = row.try_get(0)?;
        let state: State = state.parse().map_err(|_| StoreError::Data(state.into()))?;
        Ok(match row.try_get(1)? {
            Some(expires_at) if state == State::Scheduled => Rescheduled::Expires(expires_at),
            _ => Rescheduled::Not(state),
        })
    }
}
