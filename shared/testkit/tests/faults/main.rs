//! Must-show 2, 4 and 8: 2,000 tasks, 32 clients, and a fault in the middle while tasks run. One file a fault.
//!
//! Each test has private servers, and asserts three things: that the fault hit (something ran, or was lost), that the
//! recovery path worked (its counter rose), and that nothing that was accepted is missing. How often tasks ran is
//! counted in the ledger, outside the system under test, and printed.
#![expect(clippy::print_stdout, reason = "the figures of a fault test are for reading")]
#![expect(clippy::indexing_slicing, reason = "a panic in a test is a failed assertion")]

mod broker_killed;
mod broker_stopped;
mod broker_wiped;
mod database_killed;
mod drill;
mod idle;
mod queue_purged;
mod redis_gone;
mod worker_killed;
