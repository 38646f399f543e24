//! Figures that hold while something is away or nothing happens. That nothing is lost in any fault is the fault drill's
//! business (`deploy/dev drill`).
#![expect(clippy::print_stdout, reason = "the figures of a fault test are for reading")]

mod broker_stopped;
mod idle;
