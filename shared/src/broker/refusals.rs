//! Broker queues that the broker refuses to declare: one of that name exists with other arguments, or we may not.
//!
//! Invariant: a refusal concerns its own queue. What is owed to it stays owed, the others go on, and it is tried again
//! every few seconds, for somebody may remove the queue that is in the way.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

use crate::telemetry::names;

/// How long a refused queue is left alone.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How often a refusal is told in the log.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// What was refused lately, by queue.
#[derive(Debug)]
pub(super) struct Refusals<K>(HashMap<K, Refusal>);

#[derive(Clone, Copy, Debug)]
struct Refusal {
    last: Instant,
    said: Instant,
}

impl<K: Eq + Hash> Refusals<K> {
    /// None.
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether this queue was refused just now, and need not be tried again yet.
    pub(super) fn stands(&self, queue: &K, now: Instant) -> bool {
        self.0.get(queue).is_some_and(|refusal| now - refusal.last < TRY_AGAIN)
    }

    /// Notes a refusal; whether it is time to say so.
    pub(super) fn note(&mut self, queue: K, now: Instant) -> bool {
        let before = self.0.get(&queue).copied();
        let say = before.is_none_or(|before| now - before.said >= SAY_EVERY);
        let said = before.map_or(now, |before| if say { now } else { before.said });
        self.0.insert(queue, Refusal { last: now, said });
        self.show();
        say
    }

    /// The broker took it.
    pub(super) fn lift(&mut self, queue: &K) {
        if self.0.remove(queue).is_some() {
            self.show();
        }
    }

    /// Drops what nobody has tried for longer than a refusal is worth telling of.
    pub(super) fn forget(&mut self, now: Instant) {
        let before = self.0.len();
        self.0.retain(|_, refusal| now - refusal.last < SAY_EVERY);
        if self.0.len() != before {
            self.show();
        }
    }

    fn show(&self) {
        metrics::gauge!(names::REFUSED_QUEUES).set(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_and_told_now_and_then() {
        let mut refusals = Refusals::new();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!refusals.stands(&"a", start));
        assert!(refusals.note("a", start));
        assert!(refusals.stands(&"a", at(4)) && !refusals.stands(&"b", at(4)) && !refusals.stands(&"a", at(5)));
        assert!(!refusals.note("a", at(59)) && refusals.note("a", at(60)) && !refusals.note("a", at(119)));
        refusals.forget(at(178));
        assert_eq!(refusals.0.len(), 1);
        refusals.forget(at(179));
        assert_eq!(refusals.0.len(), 0);
        refusals.note("a", at(200));
        refusals.lift(&"a");
        assert!(!refusals.stands(&"a", at(200)) && refusals.note("a", at(200)));
    }
}
