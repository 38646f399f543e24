//! The identities of the system, each a type of its own so that one can never stand for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A task's id: a UUID version 7 made by the API, so that ids sort by time of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl TaskId {
    /// A new id from the wall clock and random bits (RFC 9562, section 5.7).
    pub fn now() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of what follows from something else, always the same: the hash of both (RFC 9562, section 5.5) behind the
    /// millisecond of that id, because lists and retention go by an id's time (a version 8, section 5.8).
    pub fn derived(from: Uuid, what: &str) -> Self {
        let mut bytes = Uuid::new_v5(&from, what.as_bytes()).into_bytes();
        for (byte, time) in bytes.iter_mut().zip(from.into_bytes()).take(6) {
            *byte = time;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a task was claimed: its fencing token. Rises by one at every claim and is never reused, so whoever holds
/// an older one can change nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One start of one worker process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One installation of Caraway: what stands in one database, whichever servers and addresses it has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InstallationId(pub Uuid);

/// The account that owns tasks, items and keys. Every row and every cache key carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerId(pub i64);

impl OwnerId {
    /// The account of an open, loopback-only installation.
    pub const LOCAL: Self = Self(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_twice_is_the_same_and_sorts_by_time() {
        let from = Uuid::now_v7();
        assert_eq!(TaskId::derived(from, "a"), TaskId::derived(from, "a"));
        assert_ne!(TaskId::derived(from, "a"), TaskId::derived(from, "b"));
        assert_eq!(TaskId::derived(from, "a").0.into_bytes()[..6], from.into_bytes()[..6]);
    }
}
