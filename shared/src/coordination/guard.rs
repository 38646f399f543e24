//! Leases as guards, for handlers: renewed while they live, given back when they go.
//!
//! Invariants: one task owns a lease, renews it and gives it back, so a renewal can never follow its release; it gives up at a
//! deadline that is counted on this machine from before the last renewal was sent, without asking anybody; what has ended
//! says so ([`LeaseGuard::lost`]) and never lives again.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Address, Coordination, Millis, Op, Reply, Share, Terms};
use crate::store::{Store, StoreError};

/// For how long a place in the line is asked for at a time.
const ASK_FOR: Duration = Duration::from_secs(30);
/// Between two tries of what the database could not take.
const PAUSE: Duration = Duration::from_millis(500);
/// Clocks may run apart by a hundredth; and what one knows last may be that much too late.
const DRIFT: u32 = 100;
const MARGIN: Duration = Duration::from_millis(50);

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Nobody has made the semaphore.
    #[error("nobody has given it a size: PUT /v1/semaphores/{{name}}")]
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
    /// A bug of ours.
    #[error("unexpected: {0}")]
    Unexpected(String),
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
    /// Dropped, it asks for the release too.
    release: Option<oneshot::Sender<oneshot::Sender<Result<(), LeaseLost>>>>,
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
    pub async fn release(mut self) -> Result<(), LeaseLost> {
        let (answer, answered) = oneshot::channel();
        let asked = self.release.take().is_some_and(|release| release.send(answer).is_ok());
        if asked { answered.await.unwrap_or(Err(LeaseLost)) } else { Err(LeaseLost) }
    }
}

/// A place in the line that is given up unless it led to a guard.
struct Place {
    coordination: Coordination,
    address: Address,
    id: Uuid,
    is_ours: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_ours {
            return;
        }
        let (coordination, address, id) = (self.coordination.clone(), self.address.clone(), self.id);
        // what fails runs out by itself
        self.coordination
            .runtime
            .spawn(async move { coordination.change(&address, Op::Release(Share { id, secret: None })).await });
    }
}

impl Coordination {
    /// Waits for a lease in its turn, at most for `patience`, through outages of the database. Dropping the future gives the
    /// place up.
    pub async fn hold(&self, address: Address, terms: Terms, patience: Duration) -> Result<LeaseGuard, HoldError> {
        let until = Instant::now().checked_add(patience);
        let id = Uuid::new_v4();
        let mut place = Place { coordination: self.clone(), address: address.clone(), id, is_ours: false };
        loop {
            let left = until.map_or(ASK_FOR, |until| until.saturating_duration_since(Instant::now()).min(ASK_FOR));
            // counted from before the request that was granted was sent, and never from its answer
            let sent = std::sync::Mutex::new(Instant::now());
            let op = |wait: Millis| {
                *sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
                Op::Acquire { id, terms: terms.clone(), expect: None, wait }
            };
            let reply = self.obtain(&address, id, left, op).await;
            let sent = sent.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            match reply {
                Ok(Reply::Held(grant)) => {
                    place.is_ours = true;
                    return Ok(self.guard(address, id, grant.fence, sent, grant.left));
                }
                Ok(Reply::Waiting(_)) if !is_over => {}
                Ok(Reply::NotConfigured) => return Err(HoldError::NotConfigured),
                Ok(Reply::NeverFits(all)) => return Err(HoldError::NeverFits(all)),
                Ok(Reply::TooManyWaiters) => return Err(HoldError::TooManyWaiters),
                Ok(Reply::TooManyHolds) => return Err(HoldError::TooManyHolds),
                // the place ran out while the database was away, or a grant was not fetched in time: a new request, a new id
                Ok(Reply::Lost) if !is_over => return Box::pin(self.hold(address, terms, left_of(until))).await,
                Ok(Reply::Waiting(_) | Reply::WouldBlock(_) | Reply::Lost) => return Err(HoldError::TimedOut),
                Ok(other) => return Err(HoldError::Unexpected(format!("{other:?}"))),
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

    fn guard(&self, address: Address, id: Uuid, fence: i64, sent: Instant, left: Millis) -> LeaseGuard {
        let (release, asked) = oneshot::channel();
        let lost = CancellationToken::new();
        let mut keeper = Keeper {
            coordination: self.clone(),
            address: address.clone(),
            id,
            ttl: millis(left),
            deadline: sent,
            lost: lost.clone(),
        };
        keeper.until(sent, left);
        self.runtime.spawn(keeper.run(asked));
        LeaseGuard { address, id, fence, lost, release: Some(release) }
    }
}

/// Under a transaction of its holder's a lease may be over and held.
fn millis(left: Millis) -> Duration {
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

fn left_of(until: Option<Instant>) -> Duration {
    until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
}

/// The one task that owns a lease.
struct Keeper {
    coordination: Coordination,
    address: Address,
    id: Uuid,
    ttl: Duration,
    deadline: Instant,
    lost: CancellationToken,
}

impl Keeper {
    /// Renews until it is asked to give back, its guard is dropped, or it is lost.
    async fn run(mut self, mut asked: oneshot::Receiver<oneshot::Sender<Result<(), LeaseLost>>>) {
        let mut next = Instant::now() + self.ttl / 3;
        loop {
            tokio::select! {
                asked = &mut asked => {
                    let given_back = self.give_back().await;
                    if given_back.is_err() {
                        self.lost.cancel();
                    }
                    if let Ok(answer) = asked {
                        let _ = answer.send(given_back);
                    }
                    return;
                }
                renewed = self.renew_at(next) => {
                    let Some(pause) = renewed else {
                        self.lost.cancel();
                        tracing::warn!(lease.id = %self.id, lease.object = %self.address.name(), "a lease was lost");
                        // tell who asks later, and that there is nothing to give back
                        if let Ok(answer) = asked.await {
                            let _ = answer.send(Err(LeaseLost));
                        }
                        return;
                    };
                    next = Instant::now() + pause;
                }
            }
        }
    }

    /// Renews at this moment; how long until the next time, or nothing when it is lost. Cancel-safe: a renewal that nobody waits
    /// for may still be done, and gives no more than it says.
    async fn renew_at(&mut self, at: Instant) -> Option<Duration> {
        sleep_until(at.min(self.deadline)).await;
        let sent = Instant::now();
        let op = Op::Renew { share: Share { id: self.id, secret: None }, ttl_ms: None };
        let reply = timeout_at(self.deadline, self.coordination.change(&self.address, op)).await;
        match reply {
            Ok(Ok(Reply::Held(grant))) => {
                self.until(sent, grant.left);
                Some(self.ttl / 3)
            }
            Ok(Ok(_)) | Err(_) => None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a lease could not be renewed yet");
                (Instant::now() < self.deadline).then_some(PAUSE)
            }
        }
    }

    async fn give_back(&self) -> Result<(), LeaseLost> {
        let share = Share { id: self.id, secret: None };
        while Instant::now() < self.deadline {
            match self.coordination.change(&self.address, Op::Release(share.clone())).await {
                Ok(Reply::Released) => return Ok(()),
                // a transaction of ours still stands on it, or the database is away
                Ok(Reply::Pinned) | Err(_) => sleep(PAUSE).await,
                Ok(_) => return Err(LeaseLost),
            }
        }
        Err(LeaseLost)
    }

    fn until(&mut self, sent: Instant, left: Millis) {
        let left = millis(left);
        self.deadline = sent + left.saturating_sub(left / DRIFT).saturating_sub(MARGIN);
    }
}
