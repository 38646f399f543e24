//! What an object can be asked, and what it answers.

use uuid::Uuid;

use super::{
    Terms,
    item::{Fetched, Get, Order, Put, put_ticket},
    object::{Millis, Settings},
};

/// A request. All but the last can be repeated: the same id gets the same answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// A share, or a place in the line for it, kept for `wait` beyond the ticket's time.
    Acquire {
        /// The lease to be.
        id: Uuid,
        /// What is asked for.
        terms: Terms,
        /// Only where this is the fence of what the owner holds already.
        expect: Option<i64>,
        /// Which request asks. With no wait it asks for no place in the line.
        asker: Asker,
    },
    /// More time.
    Renew {
        /// Which lease.
        share: Share,
        /// Another time to live, milliseconds.
        ttl_ms: Option<i32>,
    },
    /// Gives back, or gives up the place in the line; a lease of this id that comes later is refused.
    Release(Share),
    /// The client of a request has gone, and was not told what came of it: what that request brought goes to others.
    Abandon {
        /// The lease that it asked for.
        id: Uuid,
        /// Which request. What another one has asked for since, or is known to the client, stays.
        asker: Uuid,
    },
    /// Takes a lock or permits from who holds them under this fence.
    Break(i64),
    /// Ends all leases and removes all items and settings: as if nobody had ever used it.
    Delete,
    /// Another capacity. Nobody is evicted.
    Resize(i32),
    /// Gives a lock back and waits to be notified.
    Park {
        /// The lease that is given back.
        share: Share,
        /// The lease to be.
        id: Uuid,
        /// The condition.
        line: String,
        /// As for a share.
        asker: Asker,
        /// Milliseconds after which it goes into the lock's line without a notify.
        timeout: Option<Millis>,
    },
    /// Moves waiters of a condition into the lock's line.
    Notify {
        /// The lease that the caller holds.
        share: Share,
        /// The condition.
        line: String,
        /// How many.
        count: i32,
    },
    /// An arrival at a barrier.
    Arrive {
        /// The arrival.
        id: Uuid,
        /// Milliseconds after which the barrier breaks, unless it has opened.
        timeout: Option<Millis>,
    },
    /// Takes an arrival back; one of this id that comes later is refused.
    Leave(Uuid),
    /// Breaks a barrier: who has arrived is refused, and who arrives until it is reset.
    Abort,
    /// Empties a barrier and mends it: who has arrived is refused, who arrives from now on counts.
    Reset,
    /// Sets an event, or clears it; closes a queue to producers, or opens it.
    Flag(bool),
    /// Closes a queue to producers and consumers, and removes all items that nobody has.
    Halt,
    /// Removes items that nobody has from a queue, as if they were done.
    Purge,
    /// Makes a queue, or changes its settings.
    Configure {
        /// How many items may be ready; `Some(None)`: any number. Left out, this and the others stay as they are.
        capacity: Option<Option<i32>>,
        /// In which order they leave.
        order: Option<Order>,
        /// How often one may be fetched.
        attempts_max: Option<i32>,
    },
    /// Puts an item in.
    Put(Put),
    /// Gives up the place of who wants to put this item in; a request for it that comes later is refused.
    Withdraw(Uuid),
    /// Puts dead items back, to be fetched as often as new ones.
    PutBack(Vec<Uuid>),
    /// Fetches one.
    Get(Get),
    /// It is done with.
    Finish(Share),
    /// It comes back, after so many milliseconds.
    GiveBack(Share, Millis),
    /// Nothing but what time has brought: leases that have run out, and whom that lets in. `ids` are looked at first.
    Pass(Vec<Uuid>),
}

/// Which request asks, and for how long its client waits for the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asker {
    /// New for each request; the lease remembers the last one that asked for it.
    pub id: Uuid,
    /// Milliseconds; 0 does not wait.
    pub wait: Millis,
}

/// A lease, and what its client shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Which.
    pub id: Uuid,
    /// SHA-256 of the secret.
    pub secret: Option<Vec<u8>>,
}

/// A lease that is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The fence.
    pub fence: i64,
    /// Milliseconds that are left.
    pub left: Millis,
}

/// What is left, in the seconds that clients read; 0 where it is over. `Duration::as_secs_f64` adds two numbers, and calls 29.952 s
/// 29.951999999999998.
pub fn seconds(left: Millis) -> f64 {
    f64::from(u32::try_from(left.max(0)).unwrap_or(u32::MAX)) / 1000.0
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It holds.
    Held(Grant),
    /// It waits; how many do, in the object's own line.
    Waiting(i64),
    /// It waits for a notify, and for so many milliseconds at most.
    Parked(Option<Millis>),
    /// The lock is held again after a wait on a condition.
    Woken {
        /// The lease.
        grant: Grant,
        /// It was notified; else its time limit was over before.
        notified: bool,
    },
    /// So many have arrived at the barrier, and others are missing.
    Arrived {
        /// This one included.
        count: i64,
        /// Milliseconds until the first time limit of an arrival breaks it.
        left: Option<Millis>,
    },
    /// The barrier is broken, or was while this arrival stood at it.
    Broken,
    /// It is taken; when something ends at the latest, in milliseconds, where that is in sight.
    WouldBlock(Option<Millis>),
    /// Given back.
    Released,
    /// Given up by a waiter that had been notified, whose client may not know it yet.
    ReleasedNotified,
    /// It was the caller's, and is no longer.
    Lost,
    /// There never was such a lease, or it is forgotten.
    Missing,
    /// The caller does not hold it now.
    NotHeld,
    /// The lease has another secret, or one at all.
    WrongSecret,
    /// The id belongs to another request.
    Reused,
    /// Nobody has configured the object.
    NotConfigured,
    /// More than the whole capacity was asked for.
    NeverFits(i32),
    /// The line is full.
    TooManyWaiters,
    /// The owner holds it as often as possible.
    TooManyHolds,
    /// The owner holds it more than once, and a condition can give back one hold only.
    HeldTwice,
    /// A transaction of the holder's stands on it.
    Pinned,
    /// So many were moved.
    Notified(i32),
    /// The barrier is open for it: which generation, and the how many-th it was, from 0.
    Passed(i64, i64),
    /// The item is in the queue, and was before if it is known.
    Accepted {
        /// It is not the first time.
        known: bool,
    },
    /// No room.
    Full,
    /// No item.
    Empty,
    /// The queue takes no more; and nothing is in it, where one was to be fetched.
    ShutDown,
    /// Items are in the queue, so its order stays.
    NotEmpty,
    /// The item is in the queue, or was.
    AlreadyIn,
    /// So many items were put back.
    PutBack(i32),
    /// So many items were removed.
    Purged(i32),
    /// An item.
    Fetched(Fetched),
    /// Done; what holds now.
    Done(Settings),
}

impl Op {
    /// The leases that it names.
    pub fn names(&self) -> Vec<Uuid> {
        match self {
            Self::Acquire { id, .. } | Self::Abandon { id, .. } | Self::Arrive { id, .. } | Self::Leave(id) => {
                vec![*id]
            }
            Self::Renew { share, .. }
            | Self::Release(share)
            | Self::Notify { share, .. }
            | Self::Finish(share)
            | Self::GiveBack(share, _) => vec![share.id],
            Self::Park { share, id, .. } => vec![share.id, *id],
            Self::Get(get) => vec![get.id],
            Self::Put(put) => vec![put_ticket(put.id)],
            Self::Withdraw(item) => vec![put_ticket(*item)],
            Self::Pass(ids) => ids.clone(),
            Self::Resize(_)
            | Self::Flag(_)
            | Self::Configure { .. }
            | Self::Break(_)
            | Self::Delete
            | Self::Abort
            | Self::Reset
            | Self::Halt
            | Self::Purge
            | Self::PutBack(_) => Vec::new(),
        }
    }

    /// The items that it names.
    pub fn items(&self) -> &[Uuid] {
        match self {
            Self::Put(put) => std::slice::from_ref(&put.id),
            Self::Withdraw(item) => std::slice::from_ref(item),
            Self::PutBack(items) => items,
            _ => &[],
        }
    }

    /// How much of the object it has to see.
    pub fn sight(&self) -> Sight {
        match self {
            // so that all are told, also those who leave before others in the line
            Self::Flag(true) | Self::Halt => Sight::Waiters,
            Self::Break(_) => Sight::Holders,
            Self::Delete => Sight::Everybody,
            _ => Sight::First,
        }
    }

    /// Whether it may remove as many items as a step can.
    pub fn purges(&self) -> bool {
        matches!(self, Self::Halt | Self::Purge)
    }

    /// The condition whose waiters it may move, and how many.
    pub fn line(&self) -> Option<(&str, i32)> {
        match self {
            Self::Notify { line, count, .. } => Some((line, *count)),
            _ => None,
        }
    }
}

/// Which leases of an object a request looks at, beside those that it names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Sight {
    /// The first of each line; of a lock and a barrier also who holds.
    #[default]
    First,
    /// Everybody who waits, too.
    Waiters,
    /// Everybody who holds, beside the first of each line.
    Holders,
    /// Everybody who waits or holds.
    Everybody,
}

impl Sight {
    /// Whether everybody who holds is looked at.
    pub fn sees_holders(self) -> bool {
        matches!(self, Self::Holders | Self::Everybody)
    }

    /// Whether everybody who waits is looked at.
    pub fn sees_waiters(self) -> bool {
        matches!(self, Self::Waiters | Self::Everybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_as_they_would_be_written() {
        let told = |left| seconds(left).to_string();
        assert_eq!([told(29_952), told(30_000), told(1), told(0), told(-5)], ["29.952", "30", "0.001", "0", "0"]);
    }
}
