//! Where this process stands: getting ready, serving, or stopping. `/readyz` and the gate ask.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Health {
    prepared: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
}

impl Health {
    /// The database has been reached, migrated and found durable.
    pub(crate) fn set_prepared(&self) {
        self.prepared.store(true, Ordering::Release);
    }

    /// Told to stop: no new work, please.
    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the schema is there to be used. Stays so while the process stops.
    pub(crate) fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    /// Whether it has been told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
