//! Caraway's vocabulary, used by `api` and `worker`.
//!
//! | module | holds | talks to |
//! |---|---|---|
//! | [`access`] | who may do what, and how much: keys, scopes, quotas | nobody: pure |
//! | [`task`] | what a task is: states, message, retry, outcome | nobody: pure |
//! | [`workflow`] | what a graph of tasks is, and what becomes of it when one of them ends | nobody: pure |
//! | [`store`] | every SQL statement | PostgreSQL, the only truth |
//! | [`broker`] | every AMQP frame | RabbitMQ, which carries pointers and may lose them |
//! | [`coordination`] | locks, semaphores, queues across hosts: the specification, and who waits for what | both, by the store and the wake-ups |
//! | [`cache`] | every Redis command | Redis, which holds copies and may forget them |
//! | [`ids`] | new ids, of this installation's cell | the clock |
//! | [`telemetry`] | logs and metrics | |
//!
//! Invariants: no HTTP here and no handler; SQL only in `store`, lapin only in `broker`, Redis only in `cache`.

pub mod access;
pub mod broken;
pub mod broker;
pub mod cache;
pub mod config;
pub mod coordination;
pub mod ids;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod workflow;
