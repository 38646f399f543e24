//! The test kit: what the tests of all crates stand on. Real servers, real processes, the real HTTP API.
//!
//! | part | is |
//! |---|---|
//! | [`Stack`] | PostgreSQL, RabbitMQ and Redis of one test, which may kill them |
//! | [`Place`] | where programs run: the servers' addresses, a database, a queue, a folder for logs |
//! | [`Program`] | one process under test: spawned, asked for its counters, killed, frozen, started again |
//! | [`Proxy`] | a way between a program and a server that can be cut, stalled, slowed down, or trapped |
//! | [`Api`], [`Load`] | a client, and many clients at once |
//! | [`Ledger`] | what handlers write down outside the system under test; executions are counted there |
//! | [`Database`], [`Broker`] | the servers seen past the system under test |
//! | [`pictures`] | pictures of every kind, and damage to them |
//! | [`eventually`] | waits for a condition, never for a time |
//!
//! Invariants: nothing here touches a server or a process that the test run did not start; everything that a test
//! started for itself ends with it, also when it panics; no test sleeps for a time that it guessed.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a test kit fails the test by panicking, with a message that says what it saw"
)]
#![expect(clippy::needless_pass_by_value, reason = "tests hand over what json! makes, without an ampersand")]

mod broker;
mod client;
mod database;
mod eventually;
mod ledger;
mod load;
mod metrics;
pub mod pictures;
mod place;
mod program;
mod proxy;
mod stack;

pub use broker::Broker;
pub use client::{Api, Submitted};
pub use database::{Database, Ended};
pub use eventually::eventually;
pub use ledger::{Execution, Ledger, Run};
pub use load::{Load, Loading};
pub use metrics::Counters;
pub use place::{Place, Servers};
pub use program::{Launch, Program};
pub use proxy::{Protocol, Proxy, Slowness, Trap, Way};
pub use stack::{Stack, repository};
