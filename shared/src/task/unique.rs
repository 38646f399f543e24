//! Unique tasks: what makes two tasks the same, for how long, and what becomes of the second.

use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// How long a task keeps others like it away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Until it starts.
    Queued,
    /// Until it ends.
    #[default]
    Incomplete,
    /// For a time from its acceptance, whatever becomes of it. A refused duplicate does not extend it.
    Period,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Queued, Self::Incomplete, Self::Period];

    /// The name used in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Incomplete => "incomplete",
            Self::Period => "period",
        }
    }
}

/// What becomes of a second task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The answer is the first task.
    #[default]
    ReturnExisting,
    /// The answer is a problem that names the first task.
    Reject,
    /// The first task is cancelled if it has not started, and the second takes its place; one that runs stays, and is
    /// the answer.
    Replace,
    /// As `replace`; but where the first task runs, the second waits for its end, in the place of one that waited
    /// before: one runs, one waits, and that one has the newest arguments.
    KeepLatest,
}

/// A task that others like it give way to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unique {
    /// What makes two tasks the same.
    pub hash: [u8; 32],
    /// How long.
    pub scope: Scope,
    /// How long exactly, for [`Scope::Period`].
    pub period: Option<Duration>,
    /// What becomes of the second.
    pub on_conflict: OnConflict,
}

impl Unique {
    /// A hash of parts that no two different lists of parts share.
    pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let hash = |parts: &[&str]| Unique::hash(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&["a"]), hash(&["a", ""]));
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
    }
}
