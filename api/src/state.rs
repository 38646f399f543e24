//! What a request handler may use: handles only, cheap to clone.

use caraway_shared::{broker::Link, cache::Cache, coordination::Coordination, store::Store, telemetry::Metrics};

use crate::{
    accept::Acceptor, callers::Callers, health::Health, known::Known, quotas::Keeper, shares::Shares, waiting::Waiting,
};

/// Uploads under way; each may hold a chunk of 256 KiB, and has a second one in the hands of the database's driver while it is
/// written. A user has half of them.
const UPLOADS_MAX: usize = 256;
/// Workflows that are checked or stored at once, of 16 MiB each at most; a user has two of them.
const WORKFLOWS_MAX: usize = 3;
/// Requests that wait for something to happen: each holds its connection and a few kilobytes. A user has half of them.
const WAITS_MAX: usize = 16_384;

/// Tasks that are waited for by requests for many: each costs some hundred bytes, and is asked for once a second in case a wake-up is
/// lost. A user has half of them.
const WAITED_TASKS_MAX: usize = 65_536;

/// The handles.
#[derive(Clone)]
pub(crate) struct ApiState {
    /// PostgreSQL.
    pub(crate) store: Store,
    /// Redis.
    pub(crate) cache: Cache,
    /// RabbitMQ; here only to tell whether it is up.
    pub(crate) link: Link,
    /// The way in for tasks.
    pub(crate) acceptor: Acceptor,
    /// Names of task types and queues.
    pub(crate) known: Known,
    /// Who may ask for what.
    pub(crate) callers: Callers,
    /// How much of it they may ask for.
    pub(crate) quotas: Keeper,
    /// Who waits for which task.
    pub(crate) waiting: Waiting,
    /// Locks and their kin.
    pub(crate) coordination: Coordination,
    /// Where this process stands.
    pub(crate) health: Health,
    /// This process's metrics.
    pub(crate) metrics: Metrics,
    /// Whether everybody may read them.
    pub(crate) metrics_open: bool,
    /// Most bytes of an item.
    pub(crate) item_bytes_max: usize,
    /// What users share.
    pub(crate) shares: SharedRoom,
}

/// What users share, and no single one may take all of.
#[derive(Clone)]
pub(crate) struct SharedRoom {
    /// Bytes of bodies in memory.
    pub(crate) bodies: Shares,
    /// Uploads.
    pub(crate) uploads: Shares,
    /// Workflows that are checked or stored.
    pub(crate) workflows: Shares,
    /// Requests that wait.
    pub(crate) waits: Shares,
    /// Tasks that requests for many wait for.
    pub(crate) waited_tasks: Shares,
}

impl SharedRoom {
    /// All of it, with so many bytes for bodies.
    pub(crate) fn new(body_bytes: usize) -> Self {
        let halved = |room: usize| Shares::new(room, room.div_ceil(2));
        let (uploads, workflows) = (halved(UPLOADS_MAX), halved(WORKFLOWS_MAX));
        let (waits, waited_tasks) = (halved(WAITS_MAX), halved(WAITED_TASKS_MAX));
        Self { bodies: halved(body_bytes), uploads, workflows, waits, waited_tasks }
    }
}
