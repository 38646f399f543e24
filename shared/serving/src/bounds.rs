//! The bounds of a connection, and how many connections there are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use caraway_shared::telemetry::names;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct ClientBounds {
    /// From the first byte of a head to its last. actix-http counts the first head of a connection by itself, from the
    /// accept; later ones, and what is left of a refused body, are counted here, a little longer than actix-http lingers.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// The same, where connections run out.
    pub crowded_idle: Duration,
    /// Until a client that keeps us waiting has taken `write_progress` bytes of its answer.
    pub write_stall: Duration,
    /// Less than this in `write_stall` counts as nothing: it is slower than any network that people use.
    pub write_progress: usize,
    /// What is read before the service is asked, and what may be pipelined behind a request that is being served, bytes.
    pub ahead: usize,
}

impl Default for ClientBounds {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(8),
            idle: Duration::from_secs(75),
            crowded_idle: Duration::from_secs(3),
            write_stall: Duration::from_secs(20),
            write_progress: 16 << 10,
            ahead: 4 << 10,
        }
    }
}

/// Counts the open connections of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Crowd {
    open: Arc<AtomicUsize>,
    max: usize,
}

/// One of the connections, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Crowd);

impl Crowd {
    /// Of a server that takes so many at most.
    pub fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    /// Whether three quarters of what there may be is taken, so that idle connections have to make room.
    pub fn is_dense(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.max / 4 * 3
    }

    pub(super) fn enter(&self) -> Counted {
        self.open.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!(names::HTTP_CONNECTIONS).increment(1);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!(names::HTTP_CONNECTIONS).decrement(1);
    }
}
