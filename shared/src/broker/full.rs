//! Broker queues that refuse messages: a length limit with `reject-publish`.
//!
//! A quorum queue tells a channel once that it is full, and the channel refuses by itself until it is told that there
//! is room. RabbitMQ 3 does not tell it so where the limit is taken away (rabbitmq-server issue 12206): then the channel
//! refuses for ever what another one would take. So a channel over which a queue took nothing for a while is given up
//! for a new one.
//!
//! Invariant: a channel is given up only over what was refused on it, so a queue that nobody publishes to costs nothing.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// How long a queue may take nothing before a channel is in doubt.
const DOUBT_AFTER: Duration = Duration::from_secs(5);
/// How often a full queue is told in the log.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// The queues that have refused a message since they last took one.
#[derive(Debug)]
pub(super) struct Full<K>(HashMap<K, Refusing>);

#[derive(Clone, Copy, Debug)]
struct Refusing {
    /// Since when on this channel.
    since: Option<Instant>,
    said: Instant,
}

impl<K: Eq + Hash> Full<K> {
    /// None.
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The queue has refused a message; whether it is time to say so.
    pub(super) fn refused(&mut self, queue: K, now: Instant) -> bool {
        let before = self.0.get(&queue).copied();
        let say = before.is_none_or(|before| now - before.said >= SAY_EVERY);
        let said = before.map_or(now, |before| if say { now } else { before.said });
        let since = before.and_then(|before| before.since).or(Some(now));
        self.0.insert(queue, Refusing { since, said });
        say
    }

    /// The queue has taken a message.
    pub(super) fn took(&mut self, queue: &K) {
        self.0.remove(queue);
    }

    /// Whether this channel is in doubt.
    pub(super) fn doubts(&self, now: Instant) -> bool {
        self.0.values().any(|refusing| refusing.since.is_some_and(|since| now - since >= DOUBT_AFTER))
    }

    /// There is another channel, which nobody has refused anything yet.
    pub(super) fn anew(&mut self) {
        self.0.values_mut().for_each(|refusing| refusing.since = None);
    }

    /// Drops what nobody has refused for longer than it is worth telling of.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, refusing| refusing.since.is_some() || now - refusing.said < SAY_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_in_doubt_while_a_queue_takes_nothing() {
        let mut full = Full::new();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(full.refused("a", start) && !full.refused("a", at(4)));
        assert!(!full.doubts(at(4)) && full.doubts(at(5)));
        full.took(&"a"); // a queue that is full now and then is none
        assert!(!full.doubts(at(5)));
        full.refused("a", at(6));
        full.anew();
        assert!(!full.doubts(at(60)), "nothing was refused on the new channel");
        assert!(!full.refused("a", at(61)) && full.doubts(at(66)));
        assert!(full.refused("a", at(67)), "once a minute");
        full.anew();
        full.forget(at(126));
        assert_eq!(full.0.len(), 1);
        full.forget(at(127));
        assert_eq!(full.0.len(), 0);
    }
}
