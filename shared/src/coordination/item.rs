//! What a work queue holds, and what it is asked.

use std::cmp::Ordering;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Terms,
    object::Millis,
    op::{Asker, Grant},
};

/// The line of producers that wait for room.
pub const PUTS: &str = "put";

/// In which order items leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// The oldest first.
    #[default]
    Fifo,
    /// The newest first.
    Lifo,
    /// The lowest priority first; of equal ones the oldest.
    Priority,
}

impl Order {
    /// As it stands in the database.
    pub const fn number(self) -> i16 {
        match self {
            Self::Fifo => 0,
            Self::Lifo => 1,
            Self::Priority => 2,
        }
    }

    /// The one of this number.
    pub const fn numbered(number: i16) -> Self {
        match number {
            1 => Self::Lifo,
            2 => Self::Priority,
            _ => Self::Fifo,
        }
    }
}

/// Where an item stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemState {
    /// To be fetched.
    Ready,
    /// To be fetched from a moment on.
    Delayed,
    /// Somebody has it.
    Leased,
    /// Done with.
    Done,
    /// Fetched and done with at once. What is in it stays until it is forgotten, for a client that asks again.
    Taken,
    /// Fetched too often without being done.
    Dead,
}

impl ItemState {
    /// As it stands in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Taken => "taken",
            Self::Dead => "dead",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Ready, Self::Delayed, Self::Leased, Self::Done, Self::Taken, Self::Dead];
        all.into_iter().find(|one| one.as_str() == name)
    }
}

/// An item, but for what is in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// Chosen by the client.
    pub id: Uuid,
    /// Where it stands.
    pub state: ItemState,
    /// 0 where the queue heeds none.
    pub priority: f64,
    /// Its place among equals.
    pub turn: i64,
    /// Delayed: ready then. Done, taken and dead: is forgotten.
    pub until: Millis,
    /// How often it was fetched.
    pub attempt: i32,
    /// What is in it, where it came with this step.
    pub payload: Option<Bytes>,
    /// SHA-256 of what is in it; none where an older program put it in.
    pub digest: Option<Vec<u8>>,
}

impl Item {
    /// Whether it is neither done nor dead.
    pub fn is_open(&self) -> bool {
        matches!(self.state, ItemState::Ready | ItemState::Delayed | ItemState::Leased)
    }

    /// Which of two leaves first, by priority and place, as the index has them. Items of a queue that heeds no priorities have
    /// none, unless its order was changed.
    pub(super) fn before(order: Order, a: (f64, i64), b: (f64, i64)) -> Ordering {
        let rising = a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if order == Order::Lifo { rising.reverse() } else { rising }
    }
}

/// What of a queue is out of sight.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Unseen {
    /// Ready items.
    pub ready: i64,
    /// The last ready item that is in sight, where there are more: its priority and place.
    pub horizon: Option<(f64, i64)>,
    /// Whether there are open ones.
    pub open: bool,
    /// Places promised to producers.
    pub promised: i64,
}

/// A request to put an item in.
#[derive(Clone, PartialEq, Debug)]
pub struct Put {
    /// The item to be.
    pub id: Uuid,
    /// Lowest first, where the queue heeds it.
    pub priority: f64,
    /// Not to be fetched before.
    pub delay: Millis,
    /// JSON.
    pub payload: Bytes,
    /// Which request asks, and for how long its client waits for room.
    pub asker: Asker,
}

impl Put {
    /// SHA-256 of what is put in: by it a repeated request is told from another one under the same id.
    pub fn digest(&self) -> Vec<u8> {
        Sha256::digest(&self.payload).to_vec()
    }
}

/// A request to fetch one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Get {
    /// The lease to be.
    pub id: Uuid,
    /// What is asked for.
    pub terms: Terms,
    /// Done with as soon as it is fetched.
    pub auto: bool,
    /// Which request asks, and for how long its client waits.
    pub asker: Asker,
}

/// An item in the hands of who fetched it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The lease.
    pub grant: Grant,
    /// Which item.
    pub item: Uuid,
    /// How often it was fetched, this time included.
    pub attempt: i32,
    /// What is in it.
    pub payload: Bytes,
}

/// The place in the producers' line of who wants to put this item in.
pub fn put_ticket(item: Uuid) -> Uuid {
    Uuid::new_v5(&item, b"put")
}
