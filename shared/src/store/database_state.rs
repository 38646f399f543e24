//! Whether the database can be written, for `/readyz`.
//!
//! Invariant: the database is asked once a second at most, by one caller, over the beat's connection, however many ask this
//! process. So a flood of `/readyz` takes no connection from anybody, and a process whose readers are all busy is ready.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use super::{Store, StoreError};

/// How long an answer is good for. Readiness is asked every few seconds, by a few.
const FRESH: Duration = Duration::from_secs(1);
/// A database that takes longer counts as away.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the database said of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatabaseState {
    /// It answers and takes writes.
    Writable,
    /// It answers and takes no writes: a standby, or one that was set to be read-only.
    ReadOnly,
    /// It does not answer.
    Away,
}

/// The last answer, and when it came. Who asks the database holds the lock; others wait for the answer.
#[derive(Default)]
pub(super) struct LastState(Mutex<Option<(Instant, DatabaseState)>>);

impl Store {
    /// Whether the database can be written; at most a second old.
    pub async fn database_state(&self) -> DatabaseState {
        let mut last = self.last_state().0.lock().await;
        if let Some((at, state)) = *last
            && at.elapsed() < FRESH
        {
            return state;
        }
        let state = match tokio::time::timeout(PATIENCE, self.ask_whether_writable()).await {
            Ok(Ok(true)) => DatabaseState::Writable,
            Ok(Ok(false)) => DatabaseState::ReadOnly,
            Ok(Err(error)) if error.is_read_only() => DatabaseState::ReadOnly,
            Ok(Err(_)) | Err(_) => DatabaseState::Away,
        };
        *last = Some((Instant::now(), state));
        state
    }

    async fn ask_whether_writable(&self) -> Result<bool, StoreError> {
        Ok(self.beats().await?.can_write().await?)
    }
}
