//! A request for a share of an object, through its whole life: it waits in a line, it is held, and then it stands as a
//! tombstone, so that a late repetition of it is not granted a second time.

use uuid::Uuid;

use super::{Millis, limits};

/// Where a lease stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// In a line.
    Waiting,
    /// Live, until its time.
    Held,
    /// Given back, or given up, by its client.
    Released,
    /// Its time was over, in the line or held.
    Lost,
}

impl Standing {
    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Held, Self::Released, Self::Lost].into_iter().find(|one| one.as_str() == name)
    }
}

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// A label: for people, and whoever re-enters must have the same.
    pub owner: String,
    /// How many permits.
    pub permits: i32,
    /// Time to live, milliseconds: replaced at each renewal, never added.
    pub ttl_ms: i32,
    /// Whether the owner may hold it several times.
    pub reentrant: bool,
    /// SHA-256 of what the client shows with everything that it does with the lease.
    pub secret: Option<Vec<u8>>,
    /// Of a consumer: it leaves a queue that is shut down as soon as nothing is ready, whatever may come back.
    pub leaves_empty: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            owner: String::new(),
            permits: 1,
            ttl_ms: limits::TTL_DEFAULT,
            reentrant: false,
            secret: None,
            leaves_empty: false,
        }
    }
}

/// A row of the table `lease`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Chosen by the client.
    pub id: Uuid,
    /// Where it stands.
    pub standing: Standing,
    /// Which line it waits in, or came from: empty for the object's own.
    pub line: String,
    /// In a line its place, then its fence.
    pub turn: i64,
    /// In a line: it leaves unless it asks again. Held: it ends. Then: it is forgotten.
    pub until: Millis,
    /// When its standing began.
    pub since: Millis,
    /// Its client knows that it holds it.
    pub claimed: bool,
    /// What was asked for.
    pub terms: Terms,
    /// What of a queue is leased.
    pub item: Option<Uuid>,
    /// The request that asked last, until its client is known to have heard of what came of it.
    pub asker: Option<Uuid>,
    /// The condition whose notify it has, until its client knows; a tombstone remembers that it was given up so.
    pub notified: Option<String>,
    /// When a time limit ends: of a wait on a condition it then goes into the lock's line ([`RUNG`] from then on), of an arrival it
    /// then breaks the barrier.
    pub alarm: Option<Millis>,
}

/// The alarm of a wait on a condition whose time limit was over before it was notified.
pub const RUNG: Millis = 0;

impl Lease {
    /// Whether it waits in this line.
    pub fn waits_in(&self, line: &str) -> bool {
        self.standing == Standing::Waiting && self.line == line
    }

    /// Whether it is held. One that has run out is not, once it was looked at.
    pub fn is_held(&self) -> bool {
        self.standing == Standing::Held
    }

    /// Whether it is over and may be forgotten now: as good as if it had never been.
    pub fn is_forgotten(&self, now: Millis) -> bool {
        !self.is_live() && self.until <= now
    }

    /// Whether it can run out.
    pub fn is_live(&self) -> bool {
        matches!(self.standing, Standing::Waiting | Standing::Held)
    }
}
