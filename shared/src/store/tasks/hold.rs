//! Holds: what a worker claims in one commit is one row of `hold`, written by the claim's statement. They are how the rescuer,
//! the beat and the lists find what runs, without an index that each claim and each record would have to pay for.
//!
//! Invariants: a running task is in a hold of its session; a hold is removed only after everything in it was recorded. It
//! decides nothing: whoever finds a task by it asks the task's own row. A hold may outlive its tasks (its removal is lazy,
//! and a claim whose answer was lost does not know its own): at most until its session is dead.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::store::{Store, StoreError};

/// Between two statements that remove holds.
const EVERY: Duration = Duration::from_millis(300);
/// Holds in one statement.
const ROWS_MAX: usize = 1000;

const RELEASE: &str = "DELETE FROM hold WHERE id = ANY($1)";

/// Of sessions that are dead, and with nothing in them that still runs.
const CLEAR: &str = "
    DELETE FROM hold h WHERE NOT EXISTS (SELECT FROM session s WHERE s.id = h.session_id AND NOT s.dead OFFSET 0)
        AND NOT EXISTS (SELECT FROM unnest(h.ids) AS i(id) JOIN task_run t ON t.id = i.id
            AND (t.state = 'running' AND t.session_id = h.session_id) IS TRUE)";

/// The row of a claim; gone some time after the last clone is dropped.
#[derive(Debug)]
pub struct Hold {
    id: i64,
    released: UnboundedSender<i64>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.released.send(self.id); // a process that ends leaves it to the rescuer
    }
}

/// Removes holds behind the back of those who drop them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Holds(UnboundedSender<i64>);

impl Holds {
    /// Starts removing on the current runtime; ends when the last clone, and the last hold, is dropped.
    pub fn start(store: Store) -> Self {
        // no more can wait than were claimed, and with a database that is away nothing is claimed
        let (released, waiting) = unbounded_channel();
        tokio::spawn(release(store, waiting));
        Self(released)
    }

    /// The row with this number, to be removed.
    pub(super) fn of(&self, id: i64) -> Arc<Hold> {
        Arc::new(Hold { id, released: self.0.clone() })
    }
}

async fn release(store: Store, mut waiting: UnboundedReceiver<i64>) {
    let mut ids = Vec::new();
    while !ids.is_empty() || waiting.recv_many(&mut ids, ROWS_MAX).await > 0 {
        match store.release_holds(&ids).await {
            Ok(()) => ids.clear(),
            Err(error) => tracing::debug!(%error, "holds cannot be removed now"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl Store {
    async fn release_holds(&self, ids: &[i64]) -> Result<(), StoreError> {
        let db = self.lazy().await?;
        let release = db.prepare_cached(RELEASE).await?;
        db.execute(&release, &[&ids]).await?;
        Ok(())
    }

    /// Removes the holds of dead sessions that hold nothing any more.
    pub async fn clear_holds(&self) -> Result<(), StoreError> {
        let db = self.upkeep().await?;
        let clear = db.prepare_cached(CLEAR).await?;
        db.execute(&clear, &[]).await?;
        Ok(())
    }
}
