//! Figures that hold while something is away or nothing happens. That nothing is lost in any fault is the fault drill's
//! business (`deploy/dev drill`).
#![expect(clippy::print_stdout, reason = "the figures of a fault test are for reading")]
#![expect(clippy::indexing_slicing, clippy::expect_used, reason = "a panic in a test is a failed assertion")]

mod broker_stopped;
mod cache_race;
mod cache_speed;
mod coordination_history;
mod coordination_speed;
mod idle;
mod rates;
mod wire;
