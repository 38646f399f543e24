//! Credit: what an idle worker lets an API hand over to it, and what an API has left of it.
//!
//! Invariant: credit is a permission, never a promise. Losing it, or having too much of it, costs time: the accept's statement
//! asks the session, and a worker that has no slot after all gives the task back to its queue.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use super::{QueueName, SessionId};

/// So many tasks of a queue may be handed over to a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credit {
    /// The worker's session.
    pub session: SessionId,
    /// The queue that it serves.
    pub queue: QueueName,
    /// Tasks, at least one.
    pub count: u32,
}

impl Credit {
    /// The body of a broker message: `session count queue`.
    pub fn encode(&self) -> String {
        format!("{} {} {}", self.session.0, self.count, self.queue)
    }

    /// Reads such a body; nothing of one that is unreadable.
    pub fn decode(body: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(body).ok()?.splitn(3, ' ');
        let session = SessionId(words.next()?.parse().ok()?);
        let count = words.next()?.parse().ok().filter(|count| *count > 0)?;
        Some(Self { session, count, queue: words.next()?.parse().ok()? })
    }
}

/// Credit that an API has, by queue; each grant is good until a moment of this process's own clock.
#[derive(Default, Debug)]
pub struct Credits(HashMap<QueueName, VecDeque<(Instant, Credit)>>);

impl Credits {
    /// Grants of one queue that are kept; what comes beyond them is dropped.
    const GRANTS_MAX: usize = 4096;

    /// Keeps a grant until that moment.
    pub fn add(&mut self, credit: Credit, until: Instant) {
        let grants = self.0.entry(credit.queue.clone()).or_default();
        if grants.len() < Self::GRANTS_MAX {
            grants.push_back((until, credit));
        }
    }

    /// Takes the credit for one task: the oldest that is still good.
    pub fn take(&mut self, queue: &QueueName, now: Instant) -> Option<SessionId> {
        let grants = self.0.get_mut(queue)?;
        while let Some((until, credit)) = grants.front_mut() {
            if *until > now && credit.count > 0 {
                credit.count -= 1;
                return Some(credit.session);
            }
            grants.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn credit(session: i64, queue: &str, count: u32) -> Credit {
        Credit { session: SessionId(session), queue: queue.parse().unwrap(), count }
    }

    #[test]
    fn it_travels_and_nothing_unreadable_does() {
        let sent = credit(7, "images", 3);
        assert_eq!(Credit::decode(sent.encode().as_bytes()), Some(sent));
        for body in ["", "7", "7 3", "7 0 images", "x 3 images", "7 -1 images", "7 3 no such/queue", "\u{fffd}"] {
            assert_eq!(Credit::decode(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn it_is_used_once_the_oldest_first_and_not_past_its_time() {
        let (mut credits, now) = (Credits::default(), Instant::now());
        let (soon, later) = (now + Duration::from_millis(500), now + Duration::from_secs(1));
        credits.add(credit(1, "images", 1), soon);
        credits.add(credit(2, "images", 2), later);
        credits.add(credit(3, "mail", 1), soon);
        let images = "images".parse().unwrap();
        assert_eq!(credits.take(&images, now), Some(SessionId(1)));
        assert_eq!(credits.take(&images, now), Some(SessionId(2)));
        assert_eq!(credits.take(&images, later), None);
        assert_eq!(credits.take(&"mail".parse().unwrap(), soon), None);
        assert_eq!(credits.take(&"other".parse().unwrap(), now), None);
    }
}
