//! Bytes that a user stores: items, values by key, items of work queues. What an upload says of its length is held against the
//! quota before its body is read, what it has against the quota before it becomes an item; what a user stores is stored one after
//! the other in a process. So the quota is kept to the byte in one process, and passed by at most one thing for each further one,
//! where they are stored in the same moment. An item of a work queue that waits for room is counted when it begins to wait.
//!
//! What tasks make counts, and is never refused: the work is done, and its result would be lost.

use std::sync::Arc;

use caraway_shared::store::Storable;
use tokio::sync::OwnedMutexGuard;

use super::{Keeper, exceeded, in_turn};
use crate::{callers::Caller, problem::Problem};

const QUOTA: &str = "stored_bytes";

/// Held while it is stored.
#[must_use]
pub(crate) struct Storing {
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Keeper {
    /// That there is room for an item of so many bytes, which is yet to come.
    pub(crate) async fn may_store(&self, caller: &Caller, bytes: usize) -> Result<(), Problem> {
        match caller.quotas.stored_bytes {
            None => Ok(()),
            Some(limit) => self.has_room(caller, limit, bytes, Storable::Item).await,
        }
    }

    /// That there is room for something of so many bytes, which is stored while the answer is held.
    pub(crate) async fn store(&self, caller: &Caller, bytes: usize, new: Storable<'_>) -> Result<Storing, Problem> {
        let Some(limit) = caller.quotas.stored_bytes else { return Ok(Storing { _turn: None }) };
        let user = self.user(caller.owner);
        let turn = in_turn(Arc::clone(&user.storing).lock_owned()).await?;
        self.has_room(caller, limit, bytes, new).await?;
        Ok(Storing { _turn: Some(turn) })
    }

    async fn has_room(&self, caller: &Caller, limit: i64, bytes: usize, new: Storable<'_>) -> Result<(), Problem> {
        let stored = self.count(QUOTA, self.store.stored_bytes(caller.owner, new)).await?;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if stored.saturating_add(bytes) <= limit {
            return Ok(());
        }
        Err(exceeded(
            QUOTA,
            limit,
            format!(
                "you may store {limit} bytes and have stored {stored}; {bytes} more do not fit. Delete something first"
            ),
        ))
    }
}
