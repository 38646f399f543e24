//! What a request handler may use: handles only, cheap to clone.

use std::sync::Arc;

use caraway_shared::{broker::Link, cache::Cache, coordination::Coordination, store::Store, telemetry::Metrics};
use tokio::sync::Semaphore;

use crate::{accept::Acceptor, callers::Callers, health::Health, known::Known, quotas::Keeper, waiting::Waiting};

/// Uploads under way; each may hold a chunk of 256 KiB, and has a second one in the hands of the database's driver while it is
/// written.
const UPLOADS_MAX: usize = 128;

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
    /// Bounds what uploads hold in memory.
    pub(crate) uploads: Arc<Semaphore>,
    /// The same for workflows.
    pub(crate) workflows: Arc<Semaphore>,
}

impl ApiState {
    /// A permit for every upload that may be in memory at once.
    pub(crate) fn upload_permits() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(UPLOADS_MAX))
    }
}
