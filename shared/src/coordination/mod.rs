//! Locks, semaphores, events, conditions, barriers and work queues across hosts. PostgreSQL is the truth of all of them;
//! Redis carries wake-ups, which may be lost.
//!
//! # What a lease does not do
//!
//! No service can keep two clients from *believing* that they hold a lock: one that is paused past its time to live does not
//! know it. What is promised is about the database's history: at each point of it at most one lease of a lock is live, and every
//! lease has a *fence* that is greater than all before it. Whoever acts on something that can compare (a row, a file with a
//! version) passes the fence and refuses a lower one; data in the same database can be locked with
//! [`Store::pin_lease`](crate::store::Store::pin_lease).
//!
//! # How it is built
//!
//! [`Object`] and [`Object::step`] are the specification: pure, without clock and randomness. The store loads the part of an
//! object that a step can look at (the leases named, those that hold or have run out, and the first of each line), steps, and
//! writes what changed, many requests of many objects in one commit (`store/coordination/`). A test holds the two against each
//! other. A lock is a semaphore of one permit, a condition is a line beside the lock's, an arrival at a barrier is a lease that
//! all give back at once.
//!
//! Invariants: an object changes only under the lock of its row; its time is the database's and never goes back; counts are
//! never stored but made from leases; everything that changes something has an id of its client's choice, so it can be
//! repeated.

mod barrier;
mod consume;
mod done;
mod gate;
mod guard;
mod hangup;
mod hub;
mod item;
mod keeper;
mod lease;
mod object;
mod op;
mod orders;
mod queue;
mod service;
mod untold;

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

pub use self::{
    consume::ItemGuard,
    done::Done,
    guard::{HoldError, LeaseGuard, LeaseLost},
    item::{Fetched, Get, Item, ItemState, Order, PUTS, Put, Unseen, put_ticket},
    lease::{Lease, RUNG, Standing, Terms},
    object::{Millis, Object, Settings, View},
    op::{Asker, Grant, Op, Reply, Share, Sight, seconds},
    service::{Coordination, Upkeep},
    untold::{LeaseAnswer, Untold},
};
use crate::task::OwnerId;

/// Bounds, all in one place.
pub mod limits {
    use super::Millis;

    /// Of a lease's time to live, milliseconds.
    pub const TTL_MIN: i32 = 1_000;
    /// The same.
    pub const TTL_MAX: i32 = 600_000;
    /// The same, where nothing is said.
    pub const TTL_DEFAULT: i32 = 30_000;
    /// Nobody holds longer, however often it is renewed.
    pub const HOLD_MAX: Millis = 3_600_000;
    /// A waiter keeps its place for so long between two requests.
    pub const TICKET: Millis = 15_000;
    /// A grant that nobody fetches goes to the next.
    pub const CLAIM: Millis = 5_000;
    /// What has ended is remembered for so long.
    pub const REMEMBERED: Millis = 600_000;
    /// An arrival counts for so long.
    pub const ARRIVAL: Millis = 86_400_000;
    /// Waiters of one object, in all its lines.
    pub const WAITERS_MAX: i64 = 10_000;
    /// Holds of one re-entrant lock.
    pub const HOLDS_MAX: usize = 64;
    /// Permits of a semaphore.
    pub const PERMITS_MAX: i32 = 10_000;
    /// Parties of a barrier.
    pub const PARTIES_MAX: i32 = 1_000;
    /// Waiters that one step moves into a lock's line, by a notify or because their time limit is over.
    pub const NOTIFIED_MAX: i32 = 1_000;
    /// Of the time limit of a wait on a condition, or of an arrival at a barrier, milliseconds.
    pub const TIME_LIMIT_MAX: Millis = 86_400_000;
    /// Items that may be ready in a bounded queue.
    pub const QUEUE_MAX: i32 = 10_000;
    /// How often an item may be fetched.
    pub const ATTEMPTS_MAX: i32 = 100;
    /// The same, where nothing is said.
    pub const ATTEMPTS_DEFAULT: i32 = 5;
    /// Items that one step removes from a queue.
    pub const PURGED_MAX: i32 = 1_000;
    /// What is in an item, bytes.
    pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;
    /// Of an item's delay, milliseconds.
    pub const DELAY_MAX: Millis = 86_400_000;
    /// Dead items are kept for so long.
    pub const DEAD_KEPT: Millis = 7 * 86_400_000;
    /// Of a name and of a label, bytes.
    pub const NAME_BYTES_MAX: usize = 128;
}

/// What kind of object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// One lease at a time, or several of one owner.
    Lock,
    /// As many permits as it was given.
    Semaphore,
    /// A flag that can be waited for.
    Event,
    /// Opens when as many have arrived as it has parties.
    Barrier,
    /// Items, each leased by one at a time.
    WorkQueue,
}

impl Kind {
    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::Barrier => "barrier",
            Self::WorkQueue => "work_queue",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Lock, Self::Semaphore, Self::Event, Self::Barrier, Self::WorkQueue]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// A name: 1 to 128 letters, digits and `_.:-`, beginning with a letter, a digit or `_`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name(Arc<str>);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// It is no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a name is 1 to 128 letters, digits and `_.:-`, and begins with a letter, a digit or `_`")]
pub struct NoName;

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        let good = begins && text.len() <= limits::NAME_BYTES_MAX && text.bytes().all(goes_on);
        if good { Ok(Self(text.into())) } else { Err(NoName) }
    }
}

/// Whose, what kind, which. Each owner has names of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    owner: OwnerId,
    kind: Kind,
    name: Name,
    id: Uuid,
}

impl Address {
    /// Namespace of objects' ids.
    const SPACE: Uuid = Uuid::from_u128(0xcf5b_9ed1_52c0_4c53_9c1e_6d1b_8f0a_77d4);

    /// The object of this owner, kind and name; it need not exist.
    pub fn new(owner: OwnerId, kind: Kind, name: Name) -> Self {
        let id = Uuid::new_v5(&Self::SPACE, format!("{}/{}/{name}", owner.0, kind.as_str()).as_bytes());
        Self { owner, kind, name, id }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whose it is.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }
}

/// What somebody who waits for this lease of this object is woken by.
pub fn wake_id(object: Uuid, lease: Uuid) -> Uuid {
    Uuid::new_v5(&object, lease.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "account:42", "_x", "0", &"n".repeat(limits::NAME_BYTES_MAX)] {
            assert_eq!(good.parse::<Name>().map(|name| name.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "-a", "a b", "a/b", "ä", "a\0", &"n".repeat(limits::NAME_BYTES_MAX + 1)] {
            assert_eq!(bad.parse::<Name>(), Err(NoName), "{bad}");
        }
    }

    #[test]
    fn each_owner_and_kind_has_names_of_its_own() {
        let address = |owner, kind| Address::new(OwnerId(owner), kind, "a".parse().unwrap()).id();
        assert_eq!(address(1, Kind::Lock), address(1, Kind::Lock));
        assert_ne!(address(1, Kind::Lock), address(2, Kind::Lock));
        assert_ne!(address(1, Kind::Lock), address(1, Kind::Semaphore));
    }
}
