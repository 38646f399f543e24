//! The `workflow` and `workflow_node` tables: graphs of tasks, one file per thing that happens to them.
//!
//! A node's state is its task's; what stands here is what the tasks do not know: who waits for whom, and counters. Whatever
//! ends a task that is a node takes the lock of its workflow's row first (`advance::lock`), then changes tasks, then calls
//! `advance::advance` with the rows that really changed, and commits all of it. These are all of them: the record of an
//! outcome (`steps.rs`), a cancel (`cancel.rs`), and the reconcilers that expire, give up and rescue (`sweep.rs`). A node is
//! never unique, so no unique task can cancel one.
//!
//! Invariants: one lock order for all, workflows by id, then tasks by id; a task that is a node becomes terminal under the
//! lock of its workflow only, so that what is read of a graph under it is true; counters go down once for each row that
//! really changed.

pub(super) mod advance;
mod again;
mod cancel;
mod create;
mod list;
mod results;
mod show;
pub(super) mod steps;
pub(super) mod sweep;

pub use again::Retried;
pub use cancel::CancelledWorkflow;
pub(super) use cancel::cancel_node;
pub use create::{Created, NewWorkflow};
pub use list::DeletedWorkflow;
pub use results::{Left, NodeResult};
pub use show::{Counts, NodeView, WorkflowView};
pub use steps::{Announce, Follow, Member, Spawned, Stepped, Steps};
