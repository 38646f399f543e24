//! The one task that owns a lease of this process.
//!
//! Invariants: it alone renews the lease and ends it, so a renewal can never follow the end; it gives up at a deadline that is
//! counted on this machine from before the last renewal was sent, without asking anybody.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Address, Coordination, Millis, Op, Reply, Share,
    guard::{LeaseLost, PAUSE, Won},
};

/// Clocks may run apart by a hundredth; and what one knows last may be that much too late.
const DRIFT: u32 = 100;
const MARGIN: Duration = Duration::from_millis(50);

/// How a lease ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// Of a lock or permits.
    Release,
    /// Of an item that is done.
    Finish,
    /// Of an item that comes back after so many milliseconds; and of a place in the line for one.
    GiveBack(Millis),
}

impl Ending {
    pub(super) fn op(self, id: Uuid) -> Op {
        let share = Share { id, secret: None };
        match self {
            Self::Release => Op::Release(share),
            Self::Finish => Op::Finish(share),
            Self::GiveBack(delay) => Op::GiveBack(share, delay),
        }
    }
}

/// What the keeper is asked for, and whom it tells.
pub(super) type Asked = (Ending, oneshot::Sender<Result<(), LeaseLost>>);

/// Under a transaction of its holder's a lease may be over and held.
pub(super) fn millis(left: Millis) -> Duration {
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

/// It.
pub(super) struct Keeper {
    coordination: Coordination,
    address: Address,
    id: Uuid,
    ttl: Duration,
    deadline: Instant,
    lost: CancellationToken,
    /// What becomes of it when its guard is dropped.
    dropped: Ending,
}

impl Keeper {
    /// For a lease with so many milliseconds left when its request was sent.
    pub(super) fn new(
        coordination: Coordination,
        address: Address,
        won: &Won,
        left: Millis,
        lost: CancellationToken,
        dropped: Ending,
    ) -> Self {
        let (ttl, deadline) = (millis(left), won.sent);
        let mut keeper = Self { coordination, address, id: won.id, ttl, deadline, lost, dropped };
        keeper.until(won.sent, left);
        keeper
    }

    /// Renews until it is asked for the end, its guard is dropped, or it is lost.
    pub(super) async fn run(mut self, mut asked: oneshot::Receiver<Asked>) {
        let mut next = Instant::now() + self.ttl / 3;
        loop {
            tokio::select! {
                asked = &mut asked => {
                    let ending = asked.as_ref().map_or(self.dropped, |(ending, _)| *ending);
                    let ended = self.end(ending).await;
                    if ended.is_err() {
                        self.lost.cancel();
                    }
                    if let Ok((_, answer)) = asked {
                        let _ = answer.send(ended);
                    }
                    return;
                }
                renewed = self.renew_at(next) => {
                    let Some(pause) = renewed else {
                        self.lost.cancel();
                        tracing::warn!(lease.id = %self.id, lease.object = %self.address.name(), "a lease was lost");
                        // tell who asks later, and that there is nothing to give back
                        if let Ok((_, answer)) = asked.await {
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

    async fn end(&self, ending: Ending) -> Result<(), LeaseLost> {
        while Instant::now() < self.deadline {
            match self.coordination.change(&self.address, ending.op(self.id)).await {
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
