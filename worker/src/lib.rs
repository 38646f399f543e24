//! Caraway's worker, as a library: what the built-in `worker` binary and users' own workers are made of.
//!
//! ```no_run
//! use caraway_worker::{Context, Failure, Task, Worker};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Greet {
//!     name: String,
//! }
//!
//! async fn greet(args: Greet, _: Context) -> Result<String, Failure> {
//!     Ok(format!("hello, {}", args.name))
//! }
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<()> {
//!     Worker::from_args().register(Task::new("greet", greet)?).run().await
//! }
//! ```
//!
//! The way of a task through here: `consume` (claim, then settle) → `execute` (an ending out of a closed set) →
//! `record` (the slot is free when that is committed). Beside it: `session` (the beat) and `maintain` (reconcilers that
//! take no input and may run in any number of workers).
//!
//! Invariants: nothing is acked before its claim, or its hand-back, is committed; no slot is free before its outcome is
//! recorded or refused; no transaction spans a handler; this crate holds no SQL, no AMQP and no Redis.

mod arguments;
mod config;
mod consume;
mod context;
mod credit;
mod execute;
mod failure;
mod follow;
mod hand_over;
mod held;
mod intake;
mod maintain;
mod ops;
mod overdue;
mod pace;
mod parameters;
mod patient_store;
mod quarantine;
mod record;
mod references;
mod registry;
mod running;
mod session;
mod shared_objects;
mod silence;
mod slot;
mod startup;

pub use caraway_shared::{
    coordination::{HoldError, ItemGuard, LeaseGuard, LeaseLost},
    store::{Item, NewItem},
};
pub use config::WorkerArgs;
pub use context::Context;
pub use failure::Failure;
pub use follow::NewTask;
pub use registry::Task;
pub use shared_objects::{Event, WorkQueue};
pub use startup::Worker;
