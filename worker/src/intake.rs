//! Intake: the classes of a queue that a lane consumes now. Each has a channel of its own, so that one can be given back to
//! the broker while the others go on.

use std::{future::poll_fn, task::Poll};

use caraway_shared::{
    broker::{BrokerError, Consumer, Delivery, Link},
    task::{Class, QueueName},
};
use futures::future::join_all;
use tokio_util::task::TaskTracker;

/// Unacked messages of each class, at most: a message holds about a tenth of a second of work, and what is held here no
/// other worker can take.
const PREFETCH_MAX: usize = 16;
/// Unacked messages of each class, at least: one is on its way while another is claimed.
const PREFETCH_MIN: usize = 2;

/// What is consumed of one queue.
pub(crate) struct Intake {
    link: Link,
    queue: QueueName,
    prefetch: u16,
    /// The most urgent class first.
    open: Vec<Consumer>,
}

impl Intake {
    /// Consumes nothing yet.
    pub(crate) fn new(link: Link, queue: QueueName, slots: usize) -> Self {
        Self { link, queue, prefetch: prefetch(slots), open: Vec::new() }
    }

    /// Consumes every class that is not consumed; which ones it were.
    pub(crate) async fn open(&mut self) -> Result<Vec<Class>, BrokerError> {
        let mut opened = Vec::new();
        for class in self.closed() {
            self.open.push(Consumer::open(&self.link, &self.queue, class, self.prefetch).await?);
            opened.push(class);
        }
        self.open.sort_by_key(Consumer::class);
        Ok(opened)
    }

    /// The classes that are not consumed.
    pub(crate) fn closed(&self) -> Vec<Class> {
        let is_open = |class: &Class| self.open.iter().any(|consumer| consumer.class() == *class);
        Class::ALL.into_iter().filter(|class| !is_open(class)).collect()
    }

    /// The next message, of the most urgent class that has one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Delivery, BrokerError> {
        poll_fn(|context| {
            let mut polled = self.open.iter_mut().map(|consumer| consumer.poll_next(context));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Gives a class back to the broker, in the background: the other classes go on.
    pub(crate) fn close(&mut self, class: Class, tracker: &TaskTracker) {
        for consumer in self.open.extract_if(.., |consumer| consumer.class() == class) {
            tracker.spawn(consumer.close());
        }
    }

    /// Gives everything back that is not settled.
    pub(crate) async fn leave(self) {
        join_all(self.open.into_iter().map(Consumer::close)).await;
    }
}

/// Enough messages to fill the slots twice where each holds one pointer.
fn prefetch(slots: usize) -> u16 {
    u16::try_from((2 * slots).clamp(PREFETCH_MIN, PREFETCH_MAX)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_on_both_sides() {
        assert_eq!([1, 4, 8, 64].map(prefetch), [2, 8, 16, 16]);
    }
}
