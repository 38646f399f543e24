//! Unique keys: which task holds each, and which one waits for its end.
//!
//! Invariants: a key's row is locked before anything is decided on it, and what is decided on is read in a later statement
//! than the locks, so that no snapshot is older than they are; a key moves on to a task only in the commit that queues that
//! task; locks are taken in one order: the keys by owner and hash, then the tasks by id.

mod key;
mod late;
mod orphans;
mod rows;
mod turns;

pub(super) use key::{Candidate, KeyAnswer, KeyEffects, UniqueKey};
pub(super) use rows::{KeyId, KeyRows, NewKey};
