//! Locks, semaphores, events, conditions, barriers and work queues: the rows behind
//! [`coordination`](crate::coordination).
//!
//! Invariants: whoever changes a lease or an item of an object holds the lock of the object's row, so each object has one
//! history; its rows are read by statements that began after that lock was got; nothing is told to anybody before its commit.

mod change;
mod items;
mod list;
mod load;
mod look;
mod pin;
mod queue;
mod save;
mod sweep;

pub use change::{Change, Changes, Told};
pub use list::ListedObject;
pub use look::{Due, Holder, ObjectView, Waited};
pub use queue::{DeadItem, QueueCounts};
