//! Every Redis key. What clients write stands in none but in entries, whose keys are of letters, digits and a few signs
//! without braces and line ends; and every key carries its owner.

use super::Entry;
use crate::task::{OwnerId, TaskId};

/// A terminal task's document.
pub(super) fn task(owner: OwnerId, id: TaskId) -> String {
    format!("caraway:v1:{}:task:{id}", owner.0)
}

/// How far a user's requests are used up.
pub(super) fn rate(owner: OwnerId) -> String {
    format!("caraway:v1:{{rate:{}}}", owner.0)
}

/// The channel on which the ids of ended tasks are told. Ids are random and tell nothing, so it has no owner.
pub(super) const ENDED: &str = "caraway:v1:ended";

/// The three keys of an entry, in one slot of a cluster: value, fill token, version floor.
pub(super) struct Keys([String; 3]);

impl Keys {
    /// In the Redis process that `run` names.
    pub(super) fn of(entry: &Entry, run: &str) -> Self {
        let base = format!("caraway:v1:{{{}:{}:{}}}:{run}", entry.kind, entry.owner.0, entry.key);
        Self(["v", "f", "n"].map(|part| format!("{base}:{part}")))
    }

    pub(super) fn all(&self) -> &[String; 3] {
        &self.0
    }
}
