//! How far each queue has been claimed, as seen by this worker: the audit's proof that an earlier message is gone.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use caraway_shared::task::{Class, QueueName};
use jiff::Timestamp;

/// The latest entry into the queue among everything that was claimed.
#[derive(Default)]
pub(crate) struct Watermarks(Mutex<HashMap<(QueueName, Class), Timestamp>>);

impl Watermarks {
    /// A task that entered the queue at that time was claimed.
    pub(crate) fn claimed(&self, queue: &QueueName, class: Class, queued_at: Timestamp) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = marks.entry((queue.clone(), class)).or_insert(queued_at);
        *mark = (*mark).max(queued_at);
    }

    pub(super) fn get(&self, queue: &QueueName, class: Class) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(queue.clone(), class)).copied()
    }
}
