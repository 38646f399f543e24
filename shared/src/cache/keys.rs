//! Every Redis key. Each begins with the installation, so that two of them that share a Redis do not meet. What clients write
//! stands in none but in entries, whose keys are of letters, digits and a few signs without braces and line ends; and every key
//! carries its owner.

use std::sync::Arc;

use super::Entry;
use crate::task::{InstallationId, OwnerId, TaskId};

/// The names of one installation. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Names(Arc<str>);

impl Names {
    pub(super) fn of(installation: InstallationId) -> Self {
        Self(format!("caraway:v1:{}", installation.0.simple()).into())
    }

    /// A terminal task's document.
    pub(super) fn task(&self, owner: OwnerId, id: TaskId) -> String {
        format!("{}:{}:task:{id}", self.0, owner.0)
    }

    /// How far a user's requests are used up.
    pub(super) fn rate(&self, owner: OwnerId) -> String {
        format!("{}:{{rate:{}}}", self.0, owner.0)
    }

    /// The channel on which the ids of ended tasks are told. Ids are random and tell nothing, so it has no owner.
    pub(super) fn ended(&self) -> String {
        format!("{}:ended", self.0)
    }

    /// An entry's keys, in the Redis process that `run` names.
    pub(super) fn entry(&self, entry: &Entry, run: &str) -> Keys {
        let base = format!("{}:{{{}:{}:{}}}:{run}", self.0, entry.kind, entry.owner.0, entry.key);
        Keys(["v", "f", "n"].map(|part| format!("{base}:{part}")))
    }
}

/// The three keys of an entry, in one slot of a cluster: value, fill token, version floor.
pub(super) struct Keys([String; 3]);

impl Keys {
    pub(super) fn all(&self) -> &[String; 3] {
        &self.0
    }
}
