//! How full a message may be: the queues' own settings, read now and then.
//!
//! Invariant: where nothing is known, a message holds one pointer, which is always right and only slower.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    store::Store,
    task::{Bundle, QueueName},
};

/// How long the settings are used before they are read again.
const SETTINGS_EVERY: Duration = Duration::from_secs(5);
/// Between two tries to read them.
const PAUSE: Duration = Duration::from_millis(500);

/// How many pointers of each queue go into one message.
#[derive(Clone, Default)]
pub(super) struct Bundles(Arc<RwLock<HashMap<QueueName, usize>>>);

impl Bundles {
    pub(super) fn known(&self, queue: &QueueName) -> Option<usize> {
        let settings = self.0.read().unwrap_or_else(PoisonError::into_inner);
        settings.get(queue).map(|max| (*max).clamp(1, Bundle::MAX))
    }

    /// One by one while nothing is known: always right, only slower.
    pub(super) fn max(&self, queue: &QueueName) -> usize {
        self.known(queue).unwrap_or(1)
    }

    /// Reads the settings now and then, until shutdown.
    pub(super) async fn keep_fresh(self, store: Store, shutdown: CancellationToken) {
        loop {
            let pause = match store.queues().await {
                Ok(queues) => {
                    let settings = queues.into_iter().map(|queue| (queue.name, queue.bundle_max)).collect();
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
                    SETTINGS_EVERY
                }
                // on a new installation there are no tables yet
                Err(error) => {
                    tracing::debug!(%error, "cannot read the queues' settings");
                    PAUSE
                }
            };
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }
}
