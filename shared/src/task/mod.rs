//! What a task is, without any I/O: identity, states, message, retry policy, outcome.
//!
//! Invariants: nothing here reads a clock, draws a random number or talks to a server; whoever needs one of these
//! passes the value in. Every state change the system can make is an arm of [`State::next`].

mod canonical;
mod credit;
mod glob;
mod id;
mod instant;
mod json;
mod outcome;
mod pointer;
mod queue;
mod retry;
mod spec;
mod state;
mod unique;

pub use canonical::canonical_json;
pub use credit::{Credit, Credits};
pub use glob::glob;
pub use id::{Cell, Epoch, IdSequence, Installation, InstallationId, NoCell, OwnerId, SessionId, TaskId, derived};
pub use instant::{InstantFault, instant};
pub use json::{JsonFault, check_body, check_json, nests_too_deep};
pub use outcome::{AttemptOutcome, Budget, Ending, LossCount, Outcome, TaskError, judge};
pub use pointer::{Bundle, BundleError, Pointer};
pub use queue::{Class, NameError, Priority, QueueName, TaskName};
pub use retry::{Backoff, BackoffKind, RetryPolicy};
pub use spec::{Extra, Start, TaskSpec, TimeLimit, limits};
pub use state::{Event, Refused, State};
pub use unique::{OnConflict, Scope, Unique};
