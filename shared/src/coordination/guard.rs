//! Leases as guards, for handlers: renewed while they live, given back when they go.
//!
//! Invariant: what has ended says so ([`LeaseGuard::lost`]) and never lives again.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Address, Asker, Coordination, Grant, LeaseAnswer, Op, Reply, Terms,
    keeper::{Asked, Ending, Keeper},
};
use crate::store::{Store, StoreError};

/// For how long a place in the line is asked for at a time.
pub(super) const ASK_FOR: Duration = Duration::from_secs(30);
/// Between two tries of what the database could not take.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Nobody has made the semaphore or the queue.
    #[error("nobody has configured it: PUT /v1/semaphores/{{name}}, /v1/work-queues/{{name}}")]
    NotConfigured,
    /// More permits than there are.
    #[error("there are {0} permits in all")]
    NeverFits(i32),
    /// Others wait already, as many as may.
    #[error("too many wait for it")]
    TooManyWaiters,
    /// The owner holds it as often as possible.
    #[error("its owner holds it too often")]
    TooManyHolds,
    /// It was not free in time.
    #[error("it was not free in time")]
    TimedOut,
    /// The queue takes no more, or has no more.
    #[error("the queue is shut down")]
    ShutDown,
    /// A bug of ours.
    #[error("unexpected: {0}")]
    Unexpected(String),
}

impl HoldError {
    pub(super) fn of(refusal: Reply) -> Self {
        match refusal {
            Reply::NotConfigured => Self::NotConfigured,
            Reply::NeverFits(all) => Self::NeverFits(all),
            Reply::TooManyWaiters => Self::TooManyWaiters,
            Reply::TooManyHolds => Self::TooManyHolds,
            Reply::ShutDown => Self::ShutDown,
            Reply::Waiting(_) | Reply::WouldBlock(_) | Reply::Empty | Reply::Full | Reply::Lost => Self::TimedOut,
            other => Self::Unexpected(format!("{other:?}")),
        }
    }
}

/// It was held no longer when it was to be given back: what it protected was not exclusive to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the lease had ended before it was given back")]
pub struct LeaseLost;

/// A lease that is held. Dropped, it is given back in the background; its time to live is what remains if that fails.
///
/// There is no way from the guard to what it protects, on purpose: whoever holds it may have lost it. Pass
/// [`fence`](Self::fence) on, or use [`pin`](Self::pin).
#[must_use = "dropped at once, it is given back at once"]
#[derive(Debug)]
pub struct LeaseGuard {
    address: Address,
    id: Uuid,
    fence: i64,
    lost: CancellationToken,
    /// Dropped, it asks for the end too.
    end: Option<oneshot::Sender<Asked>>,
}

impl LeaseGuard {
    /// Greater than the fence of everybody who held it before.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Fires when it has ended, at the latest at the deadline that this machine counts: then stop.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Locks the lease within a transaction in the same database, until that has ended: real exclusion for its data, whatever
    /// clocks say. `false` if it is lost; then change nothing. See [`Store::pin_lease`].
    pub async fn pin(&self, transaction: &Transaction<'_>) -> Result<bool, StoreError> {
        Store::pin_lease(transaction, &self.address, self.id, self.fence).await
    }

    /// Gives it back, and tells whether it was held until then. Tries until the lease would have ended anyway. Dropped in the
    /// middle, it goes on in the background.
    pub async fn release(self) -> Result<(), LeaseLost> {
        self.end(Ending::Release).await
    }

    pub(super) async fn end(mut self, ending: Ending) -> Result<(), LeaseLost> {
        let (answer, answered) = oneshot::channel();
        let asked = self.end.take().is_some_and(|end| end.send((ending, answer)).is_ok());
        if asked { answered.await.unwrap_or(Err(LeaseLost)) } else { Err(LeaseLost) }
    }
}

/// A place in the line that is given up unless it led to a guard.
struct Place {
    coordination: Coordination,
    address: Address,
    id: Uuid,
    up: Ending,
    is_ours: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_ours {
            return;
        }
        let (coordination, address, op) = (self.coordination.clone(), self.address.clone(), self.up.op(self.id));
        // what fails runs out by itself
        self.coordination.runtime.spawn(async move { coordination.change(&address, op).await });
    }
}

/// A request of its own for a lease, by a new id.
pub(super) struct Won {
    pub(super) id: Uuid,
    /// When the request that was granted was sent: its time counts from there, and never from the answer.
    pub(super) sent: Instant,
    pub(super) reply: Reply,
}

impl Coordination {
    /// Waits for a lease in its turn, at most for `patience`, through outages of the database. Dropping the future gives the
    /// place up.
    pub async fn hold(&self, address: Address, terms: Terms, patience: Duration) -> Result<LeaseGuard, HoldError> {
        let op = |id, asker| Op::Acquire { id, terms: terms.clone(), expect: None, asker };
        let won = self.win(&address, patience, Ending::Release, op).await?;
        match won.reply {
            Reply::Held(grant) => Ok(self.guard(address, &won, grant, Ending::Release)),
            other => Err(HoldError::Unexpected(format!("{other:?}"))),
        }
    }

    /// Asks until it is granted. `op` makes the request of an id and of how long it is going to wait.
    pub(super) async fn win(
        &self,
        address: &Address,
        patience: Duration,
        up: Ending,
        op: impl Fn(Uuid, Asker) -> Op,
    ) -> Result<Won, HoldError> {
        let until = Instant::now().checked_add(patience);
        loop {
            if let Some(won) = self.win_by(Uuid::new_v4(), address, until, up, &op).await? {
                return Ok(won);
            }
        }
    }

    /// The same by one id; nothing where the place is lost, because the database was away for long, or a grant was not fetched in
    /// time: then another one has to be taken.
    async fn win_by(
        &self,
        id: Uuid,
        address: &Address,
        until: Option<Instant>,
        up: Ending,
        op: impl Fn(Uuid, Asker) -> Op,
    ) -> Result<Option<Won>, HoldError> {
        let mut place = Place { coordination: self.clone(), address: address.clone(), id, up, is_ours: false };
        loop {
            let left = until.map_or(ASK_FOR, |until| until.saturating_duration_since(Instant::now()).min(ASK_FOR));
            let sent = std::sync::Mutex::new(Instant::now());
            let op = |asker: Asker| {
                *sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
                op(id, asker)
            };
            let reply = self.obtain(address, id, left, op).await.map(LeaseAnswer::told);
            let sent = sent.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            match reply {
                Ok(reply @ (Reply::Held(_) | Reply::Fetched(_))) => {
                    place.is_ours = true;
                    return Ok(Some(Won { id, sent, reply }));
                }
                Ok(Reply::Waiting(_)) if !is_over && !self.closing.is_cancelled() => {}
                Ok(Reply::Lost) if !is_over => return Ok(None),
                Ok(refusal) => return Err(HoldError::of(refusal)),
                Err(error) if is_over => {
                    tracing::warn!(%error, "a lease could not be asked for");
                    return Err(HoldError::TimedOut);
                }
                Err(error) => {
                    tracing::debug!(%error, "a lease is asked for again");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    pub(super) fn guard(&self, address: Address, won: &Won, grant: Grant, dropped: Ending) -> LeaseGuard {
        let (end, asked) = oneshot::channel();
        let lost = CancellationToken::new();
        let keeper = Keeper::new(self.clone(), address.clone(), won, grant.left, lost.clone(), dropped);
        self.runtime.spawn(keeper.run(asked));
        LeaseGuard { address, id: won.id, fence: grant.fence, lost, end: Some(end) }
    }
}
