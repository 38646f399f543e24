//! Reconcilers: they take no input, run on a timer in the worker that holds the lease (`lease.rs`), and may run in any number of
//! them, because each step is a guarded UPDATE. Normal work and recovery use the same statements. Every worker watches the others'
//! beats and audits, because both need what a worker sees itself.

mod answering;
mod audit;
mod backlog;
mod beats;
mod lease;
mod promote;
mod rescue;
mod retain;
mod stop;
mod sweep;
mod unblock;
mod watermarks;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::startup::Engine;

pub(crate) use lease::Lease;
pub(crate) use watermarks::Watermarks;

/// Starts them all; they run until `done`.
pub(crate) fn start(engine: &Arc<Engine>, done: &CancellationToken) {
    engine.tracker.spawn(promote::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(rescue::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(audit::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(backlog::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(retain::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(unblock::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(unblock::audit(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(stop::run(Arc::clone(engine), done.clone()));
    engine.tracker.spawn(sweep::run(Arc::clone(engine), done.clone()));
}
