//! What handlers share with others on any host: locks, permits, events and work queues of their task's owner.
//!
//! Invariant: every wait ends when its run should end ([`Context::stopped`]), and leaves nothing in a line.

use std::time::Duration;

use bytes::Bytes;
use caraway_shared::{
    coordination::{
        Address, Asker, HoldError, ItemGuard, Kind, LeaseGuard, Millis, NoName, Op, Put, Reply, Terms, limits,
    },
    store::coordination::ObjectView,
    task::check_json,
};
use serde::Serialize;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{Context, Failure};

/// Between two tries of what the database could not take.
const PAUSE: Duration = Duration::from_millis(500);
/// For how long an event is waited for at a time.
const ASK_FOR: Duration = Duration::from_secs(30);

impl Context {
    /// Waits for a lock of the task's owner in its turn, until this run should end. The guard renews the lease every ten seconds and
    /// gives it back when it is dropped. **It can be lost while you work**: watch [`LeaseGuard::lost`], pass
    /// [`LeaseGuard::fence`] to what you act on, or [`LeaseGuard::pin`] it in a transaction.
    pub async fn lock(&self, name: &str) -> Result<LeaseGuard, Failure> {
        self.hold(Kind::Lock, name, Terms { owner: self.label(), ..Terms::default() }).await
    }

    /// The same, and this run may hold it up to 64 times, with one fence.
    pub async fn reentrant_lock(&self, name: &str) -> Result<LeaseGuard, Failure> {
        self.hold(Kind::Lock, name, Terms { owner: self.label(), reentrant: true, ..Terms::default() }).await
    }

    /// Waits for permits of a semaphore of the task's owner, as for a lock. Somebody must have given it a size:
    /// `PUT /v1/semaphores/{name}`.
    pub async fn permits(&self, name: &str, permits: i32) -> Result<LeaseGuard, Failure> {
        self.hold(Kind::Semaphore, name, Terms { owner: self.label(), permits, ..Terms::default() }).await
    }

    /// An event of the task's owner; there is no need to make it.
    pub fn event(&self, name: &str) -> Result<Event, Failure> {
        Ok(Event { context: self.clone(), address: self.address(Kind::Event, name)? })
    }

    /// A work queue of the task's owner. Somebody must have made it: `PUT /v1/work-queues/{name}`.
    pub fn work_queue(&self, name: &str) -> Result<WorkQueue, Failure> {
        Ok(WorkQueue { context: self.clone(), address: self.address(Kind::WorkQueue, name)? })
    }

    async fn hold(&self, kind: Kind, name: &str, terms: Terms) -> Result<LeaseGuard, Failure> {
        let address = self.address(kind, name)?;
        self.until_stopped(self.coordination.hold(address, terms, Duration::MAX)).await?.map_err(failure)
    }

    fn address(&self, kind: Kind, name: &str) -> Result<Address, Failure> {
        let name = name.parse().map_err(|error: NoName| Failure::fatal("invalid_name", error.to_string()))?;
        Ok(Address::new(self.owner, kind, name))
    }

    async fn until_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, Failure> {
        let stopped = || Failure::retryable("stopped", "this run should end");
        self.stopped().run_until_cancelled(wait).await.ok_or_else(stopped)
    }

    /// Who holds, for people.
    fn label(&self) -> String {
        format!("task {} epoch {}", self.task_id(), self.epoch())
    }
}

fn failure(error: HoldError) -> Failure {
    match error {
        HoldError::NeverFits(_) => Failure::fatal("never_fits", error.to_string()),
        HoldError::ShutDown => Failure::fatal("queue_shut_down", error.to_string()),
        other => Failure::from(other),
    }
}

/// A flag that can be waited for. Each method goes on through outages of the database, until the run should end.
pub struct Event {
    context: Context,
    address: Address,
}

impl Event {
    /// Waits until it is set, or was since this was called, also if it was cleared at once. Tells its generation.
    pub async fn wait(&self) -> Result<i64, Failure> {
        let now = self.seen(Duration::ZERO, i64::MAX).await?.1;
        self.wait_since(now).await
    }

    /// Waits until it is set, or was after this generation: so nothing is missed between two waits. Tells its generation.
    pub async fn wait_since(&self, generation: i64) -> Result<i64, Failure> {
        loop {
            let (set, now) = self.seen(ASK_FOR, generation).await?;
            if set || now > generation {
                return Ok(now);
            }
        }
    }

    /// Whether it is set.
    pub async fn is_set(&self) -> Result<bool, Failure> {
        Ok(self.seen(Duration::ZERO, i64::MAX).await?.0)
    }

    /// Sets it: who waits goes on. Tells its generation.
    pub async fn set(&self) -> Result<i64, Failure> {
        self.flag(true).await
    }

    /// Clears it. Tells its generation.
    pub async fn clear(&self) -> Result<i64, Failure> {
        self.flag(false).await
    }

    async fn seen(&self, patience: Duration, since: i64) -> Result<(bool, i64), Failure> {
        let look = async {
            loop {
                let enough = |seen: &ObjectView| seen.settings.flag || seen.settings.generation > since;
                match self.context.coordination.observe(&self.address, patience, enough).await {
                    Ok(seen) => return seen.map_or((false, 0), |seen| (seen.settings.flag, seen.settings.generation)),
                    Err(error) => tracing::debug!(%error, "an event is asked for again"),
                }
                sleep(PAUSE).await;
            }
        };
        self.context.until_stopped(look).await
    }

    async fn flag(&self, flag: bool) -> Result<i64, Failure> {
        let change = async {
            loop {
                match self.context.coordination.change(&self.address, Op::Flag(flag)).await {
                    Ok(Reply::Done(settings)) => return Ok(settings.generation),
                    Ok(other) => return Err(Failure::from(HoldError::Unexpected(format!("{other:?}")))),
                    Err(error) => tracing::debug!(%error, "an event is set again"),
                }
                sleep(PAUSE).await;
            }
        };
        self.context.until_stopped(change).await?
    }
}

/// Items, each for one at a time.
pub struct WorkQueue {
    context: Context,
    address: Address,
}

impl WorkQueue {
    /// Puts an item in, at most 64 KiB of JSON, and waits for room. Its id comes from the task's and `role`, a name of its own within
    /// the task (RFC 9562, version 5): a repeated attempt puts nothing in twice while the queue remembers it, which is ten minutes after it
    /// is done.
    pub async fn put(&self, role: &str, payload: &impl Serialize) -> Result<Uuid, Failure> {
        self.put_at(role, payload, 0.0, Duration::ZERO).await
    }

    /// The same with a priority, lowest first, where the queue heeds it; and not to be fetched for a while, up to a day.
    pub async fn put_at(
        &self,
        role: &str,
        payload: &impl Serialize,
        priority: f64,
        delay: Duration,
    ) -> Result<Uuid, Failure> {
        let payload = serde_json::to_vec(payload)?;
        if payload.len() > limits::PAYLOAD_BYTES_MAX || check_json(&payload).is_err() || !priority.is_finite() {
            let detail = format!("an item is JSON of at most {} bytes, with a priority", limits::PAYLOAD_BYTES_MAX);
            return Err(Failure::fatal("invalid_item", detail));
        }
        let id = Uuid::new_v5(&self.context.task_id().0, role.as_bytes());
        let delay = Millis::try_from(delay.as_millis()).unwrap_or(Millis::MAX).min(limits::DELAY_MAX);
        let put = Put { id, priority, delay, payload: Bytes::from(payload), asker: Asker::default() };
        let put = self.context.coordination.put_through(&self.address, &put);
        self.context.until_stopped(put).await?.map_err(failure)?;
        Ok(id)
    }

    /// Waits for an item in its turn. It is yours until you say [`ItemGuard::done`]; dropped before, it goes back to its place.
    pub async fn get(&self) -> Result<ItemGuard, Failure> {
        let terms = Terms { owner: self.context.label(), ..Terms::default() };
        let got = self.context.coordination.fetch(self.address.clone(), terms, Duration::MAX);
        self.context.until_stopped(got).await?.map_err(failure)
    }
}
