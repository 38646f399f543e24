//! The API as its clients see it: the real binary, over real servers, spoken to over HTTP and raw sockets.
//!
//! The servers come from `CARAWAY_POSTGRES_URL`, `CARAWAY_AMQP_URL` and `CARAWAY_REDIS_URL`, as `deploy/dev test` sets
//! them. Every test has a database of its own. RabbitMQ is out of reach for all but those that are about it: nothing
//! that a client is told may depend on it, and no message of a test's may meet another test's worker.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a panic is a failed assertion, and what a test prints is shown only when it fails"
)]
#![expect(unreachable_pub, reason = "nobody reaches into a test binary")]

mod abuse;
mod access;
mod answer;
mod answers;
mod batch;
mod bodies;
mod cancel;
mod changes;
mod compression;
mod conditional;
mod connections;
mod contended;
mod coordination;
mod cors;
mod crowd;
mod cuts;
mod data;
mod database;
mod dispatch;
mod eventually;
mod hangup;
mod idempotency;
mod images;
mod items;
mod items_load;
mod lifecycle;
mod lists;
mod log;
mod migrations;
mod openapi;
mod operations;
mod orders;
mod outages;
mod parameters;
mod parity;
mod quotas;
mod rates;
mod raw;
mod read_only;
mod refusals;
mod results;
mod retries;
mod server;
mod size;
mod strangers;
mod submit;
mod task_waits;
mod time_limits;
mod unique;
mod unique_races;
mod unique_rules;
mod waits;
mod work_queues;
mod workflows;
