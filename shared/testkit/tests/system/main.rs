//! What the whole system does with single tasks: real processes, the real API, and a ledger outside. The tests share
//! the servers of the run, each with a database and a queue of its own.
#![expect(clippy::print_stdout, reason = "figures are for reading")]
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "a panic in a test is a failed assertion")]

mod cancel;
mod cells;
mod context;
mod coordination;
mod coordination_linear;
mod coordination_model;
mod crash_point;
mod deleted_queue;
mod due;
mod duplicates;
mod expiry;
mod fan_out;
mod fetch;
mod fidelity;
mod frozen;
mod full_queue;
mod hand_over;
mod images;
mod images_damaged;
mod latest;
mod limits;
mod linear;
mod no_handler;
mod outputs;
mod overdue;
mod parked_queue;
mod pauses;
mod poison;
mod policy;
mod priority;
mod progress;
mod punctual;
mod quarantine;
mod recorded;
mod refused_queue;
mod retention;
mod retry;
mod schedule;
mod schema;
mod shutdown;
mod slot;
mod stage;
mod terminal;
mod unique;
mod uploads;
mod waiting;
mod workflow_cancels;
mod workflow_crashes;
mod workflow_model;
mod workflow_speed;
mod workflows;
