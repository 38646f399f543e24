//! Work queues for handlers: items put in through outages, and fetched as guards.
//!
//! Invariant: an item leaves its queue only by [`ItemGuard::done`]; a guard that is dropped, also by a panic, gives it back.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Address, Coordination, Get, HoldError, LeaseAnswer, LeaseGuard, LeaseLost, Millis, Op, Put, Reply, Terms,
    guard::{ASK_FOR, PAUSE},
    keeper::Ending,
};

/// An item of a work queue in the hands of who fetched it. Its lease is renewed until it is done or given back; dropped, it goes
/// back to its place. Somebody else may have it when [`lost`](Self::lost) fires.
#[must_use = "dropped at once, it goes back at once"]
#[derive(Debug)]
pub struct ItemGuard {
    lease: LeaseGuard,
    id: Uuid,
    attempt: i32,
    payload: Bytes,
}

impl ItemGuard {
    /// As it was put in.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How often it was fetched, this time included.
    pub fn attempt(&self) -> i32 {
        self.attempt
    }

    /// What is in it, as JSON.
    pub fn json(&self) -> &Bytes {
        &self.payload
    }

    /// What is in it.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }

    /// Greater than that of every fetch before.
    pub fn fence(&self) -> i64 {
        self.lease.fence()
    }

    /// Fires when the lease has ended: then stop.
    pub fn lost(&self) -> &CancellationToken {
        self.lease.lost()
    }

    /// Tells that it is done, and whether it was held until then. Dropped in the middle, it goes on in the background.
    pub async fn done(self) -> Result<(), LeaseLost> {
        self.lease.end(Ending::Finish).await
    }

    /// Gives it back, to be fetched again after this time, up to a day. The fetch counts.
    pub async fn give_back(self, delay: Duration) -> Result<(), LeaseLost> {
        let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX).min(super::limits::DELAY_MAX);
        self.lease.end(Ending::GiveBack(delay)).await
    }
}

impl Coordination {
    /// Waits for an item of a queue in its turn, at most for `patience`, through outages of the database. Dropping the future gives
    /// the place up.
    pub async fn fetch(&self, queue: Address, terms: Terms, patience: Duration) -> Result<ItemGuard, HoldError> {
        let op = |id, asker| Op::Get(Get { id, terms: terms.clone(), auto: false, asker });
        let won = self.win(&queue, patience, Ending::GiveBack(0), op).await?;
        let Reply::Fetched(fetched) = &won.reply else {
            return Err(HoldError::of(won.reply));
        };
        let lease = self.guard(queue, &won, fetched.grant, Ending::GiveBack(0));
        Ok(ItemGuard { lease, id: fetched.item, attempt: fetched.attempt, payload: fetched.payload.clone() })
    }

    /// Puts an item into a queue, waits for room as long as it takes, and goes on through outages of the database. Safe to repeat with
    /// the same id.
    pub async fn put_through(&self, queue: &Address, put: &Put) -> Result<(), HoldError> {
        loop {
            match Coordination::put(self, queue, ASK_FOR, put.clone()).await.map(LeaseAnswer::told) {
                Ok(Reply::Accepted { .. }) => return Ok(()),
                Ok(Reply::Waiting(_)) if !self.closing.is_cancelled() => {}
                Ok(refusal) => return Err(HoldError::of(refusal)),
                Err(error) => {
                    tracing::debug!(%error, "an item is put in again");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
