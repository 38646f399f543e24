//! Bytes of items. What an upload says of its length is held against the quota before its body is read, what it has against
//! the quota before it becomes an item; uploads of a user end one after the other in a process. So the quota is kept to the byte
//! in one process, and passed by at most one item for each further one, where uploads end in the same moment.
//!
//! What tasks make counts, and is never refused: the work is done, and its result would be lost.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::{Keeper, exceeded, in_turn};
use crate::{callers::Caller, problem::Problem};

const QUOTA: &str = "stored_bytes";

/// Held while an upload becomes an item.
#[must_use]
pub(crate) struct Storing {
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Keeper {
    /// That there is room for an item of so many bytes, which is yet to come.
    pub(crate) async fn may_store(&self, caller: &Caller, bytes: usize) -> Result<(), Problem> {
        match caller.quotas.stored_bytes {
            None => Ok(()),
            Some(limit) => self.has_room(caller, limit, bytes).await,
        }
    }

    /// That there is room for an item of so many bytes, which is stored while the answer is held.
    pub(crate) async fn store(&self, caller: &Caller, bytes: usize) -> Result<Storing, Problem> {
        let Some(limit) = caller.quotas.stored_bytes else { return Ok(Storing { _turn: None }) };
        let user = self.user(caller.owner);
        let turn = in_turn(Arc::clone(&user.storing).lock_owned()).await?;
        self.has_room(caller, limit, bytes).await?;
        Ok(Storing { _turn: Some(turn) })
    }

    async fn has_room(&self, caller: &Caller, limit: i64, bytes: usize) -> Result<(), Problem> {
        let stored = self.count(QUOTA, self.store.stored_bytes(caller.owner)).await?;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if stored.saturating_add(bytes) <= limit {
            return Ok(());
        }
        Err(exceeded(
            QUOTA,
            limit,
            format!(
                "you may store {limit} bytes and have stored {stored}; {bytes} more do not fit. Delete items first"
            ),
        ))
    }
}
