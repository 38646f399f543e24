//! Edits: what a request changes while workers and other requests may hold locks on it, so it may have to wait for them.
//!
//! Invariants: a process edits one workflow on one connection at a time, so however many ask, only one of them waits inside
//! the database; one user has two places at most, so a place is left for everybody else; nobody waits for a place longer
//! than a few times [`PATIENCE`], nor for a lock longer than the pool's `lock_timeout`.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use uuid::Uuid;

use super::{
    StoreError,
    connection::{Connection, Lender},
    pool::EDITS,
};
use crate::task::OwnerId;

/// How long an edit stands in one line. A step of an edit takes some tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Edits of one user at once: all but one.
const OF_ONE_OWNER: usize = EDITS - 1;
/// Lines that are remembered before those in which nobody stands are forgotten.
const LINES_MAX: usize = 1024;

/// The connections for edits, and who may take one when.
pub(super) struct Edits {
    connections: Lender,
    turns: Turns,
}

/// A connection for one step of an edit. The next in line gets its turn when this is dropped.
pub(super) struct Edit {
    connection: Connection, // dropped first, so that it is back when the next one's turn comes
    _turn: Turn,
}

impl Edits {
    /// Hands out these connections; there are [`EDITS`] of them.
    pub(super) fn new(connections: Lender) -> Self {
        Self { connections, turns: Turns::new() }
    }

    /// Waits for a turn to edit this workflow, or something else of the owner's that others do not edit.
    pub(super) async fn begin(&self, owner: OwnerId, workflow: Option<Uuid>) -> Result<Edit, StoreError> {
        let turn = self.turns.take(owner, workflow).await?;
        Ok(Edit { connection: self.connections.lend().await?, _turn: turn })
    }
}

/// The lines in which edits stand before they get a connection.
struct Turns {
    places: Arc<Semaphore>,
    lines: Mutex<HashMap<Line, Weak<Semaphore>>>,
}

/// What a line is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Line {
    Workflow(Uuid),
    Owner(OwnerId),
}

/// A turn lasts for as long as this lives.
#[derive(Debug)]
struct Turn {
    _place: OwnedSemaphorePermit,
    _of_owner: OwnedSemaphorePermit,
    _of_workflow: Option<OwnedSemaphorePermit>,
}

impl Turns {
    fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(EDITS)), lines: Mutex::default() }
    }

    /// Stands in the line of the workflow, then of the owner, then of all: always in this order, so that nobody waits in a circle.
    async fn take(&self, owner: OwnerId, workflow: Option<Uuid>) -> Result<Turn, StoreError> {
        let of_workflow = match workflow.map(|id| self.line(Line::Workflow(id), 1).acquire_owned()) {
            Some(turn) => Some(in_time(turn).await.ok_or(StoreError::Contended)?),
            None => None,
        };
        let of_owner = self.line(Line::Owner(owner), OF_ONE_OWNER).acquire_owned();
        let of_owner = in_time(of_owner).await.ok_or(StoreError::Crowded)?;
        let place = in_time(Arc::clone(&self.places).acquire_owned()).await.ok_or(StoreError::Crowded)?;
        Ok(Turn { _place: place, _of_owner: of_owner, _of_workflow: of_workflow })
    }

    /// The line for `key`, which is there for as long as somebody stands in it. It lets `abreast` through at a time.
    fn line(&self, key: Line, abreast: usize) -> Arc<Semaphore> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() >= LINES_MAX {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Semaphore::new(abreast));
        lines.insert(key, Arc::downgrade(&line));
        line
    }
}

/// A turn, if it comes within [`PATIENCE`].
async fn in_time(
    turn: impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>>,
) -> Option<OwnedSemaphorePermit> {
    timeout(PATIENCE, turn).await.ok()?.ok()
}

impl Deref for Edit {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Edit {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_workflow_is_edited_once_at_a_time() {
        let (turns, workflow) = (Turns::new(), Uuid::now_v7());
        let first = turns.take(OwnerId(1), Some(workflow)).await.unwrap();
        assert!(matches!(turns.take(OwnerId(1), Some(workflow)).await, Err(StoreError::Contended)));
        let other = turns.take(OwnerId(1), Some(Uuid::now_v7())).await;
        assert!(other.is_ok(), "another workflow is not in its way");
        drop(first);
        assert!(turns.take(OwnerId(1), Some(workflow)).await.is_ok());
    }

    #[tokio::test]
    async fn one_owner_leaves_a_place_to_the_others() {
        let turns = Turns::new();
        let take = |owner| turns.take(OwnerId(owner), Some(Uuid::now_v7()));
        let (_one, _two) = (take(1).await.unwrap(), take(1).await.unwrap());
        assert!(matches!(take(1).await, Err(StoreError::Crowded)));
        let _other = take(2).await.unwrap();
        assert!(matches!(take(3).await, Err(StoreError::Crowded)));
    }

    #[tokio::test]
    async fn lines_in_which_nobody_stands_are_forgotten() {
        let turns = Turns::new();
        for _ in 0..3 * LINES_MAX {
            turns.take(OwnerId(1), Some(Uuid::now_v7())).await.unwrap();
        }
        assert!(turns.lines.lock().unwrap().len() <= LINES_MAX + 1);
    }
}
