//! Every Redis key, built from ids only, so that no client's text can reach another's key.

use crate::task::{OwnerId, TaskId};

/// A terminal task's document.
pub(super) fn task(owner: OwnerId, id: TaskId) -> String {
    format!("caraway:v1:{}:task:{id}", owner.0)
}

/// The channel on which the ids of ended tasks are told. Ids are random and tell nothing, so it has no owner.
pub(super) const ENDED: &str = "caraway:v1:ended";
