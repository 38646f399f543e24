//! Every Redis key, built from ids only, so that no client's text can reach another's key.

use crate::task::{OwnerId, TaskId};

/// A terminal task's document.
pub(super) fn task(owner: OwnerId, id: TaskId) -> String {
    format!("caraway:v1:{}:task:{id}", owner.0)
}
