//! The primitives as a process uses them: requests go to the group-committing writer, waits to the hub.
//!
//! Invariants: waiting holds no connection and asks nothing; a caller that goes away leaves neither a place in a line nor a
//! grant: what it has not been told of goes to others at once (`untold.rs`), and runs out by itself if this process dies.

use std::time::Duration;

use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Address, Asker, Get, Kind, LeaseAnswer, Millis, Op, Put, Reply, Standing, Untold,
    hub::{Awaited, Hub},
    item::put_ticket,
    keeper::millis,
};
use crate::{
    cache::{
        Cache,
        wakeups::{Announcer, listen},
    },
    store::{
        AuditOrder, Store, StoreError, WriteError, Writer,
        coordination::{Change, Changes, Due, ObjectView, Told},
    },
};

/// How often the database is asked about all that is waited for, and what is due, in case wake-ups are lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What runs out sooner is looked at sooner, but not more often than this.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How often it is asked while nothing is in use anywhere, as far as this process has seen.
const LOOK_IDLE: Duration = Duration::from_secs(10);
/// After the moment at which something runs out.
const LOOK_LATER: Duration = Duration::from_millis(15);
/// Leases that have run out, in one look.
const OVER_MAX: i64 = 256;
/// How often ended leases are removed, where there are any and where there are none, how many at a time, and how many objects
/// are looked at then.
const FORGET_EVERY: Duration = Duration::from_secs(5);
const FORGET_IDLE: Duration = Duration::from_mins(1);
const FORGET_MAX: i64 = 5_000;
const OBJECTS_MAX: i64 = 500;
/// Objects with more to do that may wait; what is dropped is found when somebody in its line asks again.
const AGAIN_MAX: usize = 1024;

/// The primitives. Cheap to clone.
#[derive(Clone)]
pub struct Coordination {
    store: Store,
    writer: Writer<Changes>,
    hub: Hub,
    /// Ends every wait.
    pub(super) closing: CancellationToken,
    /// Where leases are renewed: handlers that burn CPU run elsewhere.
    pub(super) runtime: Handle,
}

/// What runs beside it: to be given to [`Coordination::keep`].
pub struct Upkeep(mpsc::Receiver<Address>);

impl Coordination {
    /// Starts its writer on the current runtime.
    pub fn start(store: Store, cache: Cache, closing: CancellationToken) -> (Self, Upkeep) {
        let hub = Hub::default();
        let announcer = Announcer::start(cache);
        let (again, more) = mpsc::channel(AGAIN_MAX);
        let near = hub.clone();
        let tell = move |told: Told| {
            near.stir();
            near.wake(told.woken.iter().copied());
            told.woken.into_iter().for_each(|id| announcer.moved(id));
            for address in told.again {
                let _ = again.try_send(address);
            }
        };
        let writer = Writer::start(&store, Changes { tell: Box::new(tell), clock: None });
        (Self { store, writer, hub, closing, runtime: Handle::current() }, Upkeep(more))
    }

    /// Does something that needs no waiting.
    pub async fn change(&self, address: &Address, op: Op) -> Result<Reply, WriteError> {
        self.write(Change { address: address.clone(), op, order: None }).await
    }

    /// Carries out what an owner or operator ordered, and logs it in the same commit.
    pub async fn order(&self, address: &Address, op: Op, order: AuditOrder) -> Result<Reply, WriteError> {
        self.write(Change { address: address.clone(), op, order: Some(order) }).await
    }

    async fn write(&self, change: Change) -> Result<Reply, WriteError> {
        let replies = self.writer.try_write(vec![change]).await?;
        Ok(replies.into_iter().next().unwrap_or(Reply::Missing))
    }

    /// Asks for a lease, and waits for it at most for `patience`; the answer tells how it stands at the end of that. `op` makes the
    /// request, which is repeated when there is something to learn. Dropping the future, or the answer before its client was told,
    /// gives up whatever it brought.
    pub async fn obtain(
        &self,
        address: &Address,
        lease: Uuid,
        patience: Duration,
        op: impl Fn(Asker) -> Op,
    ) -> Result<LeaseAnswer, WriteError> {
        let asker = Uuid::new_v4();
        let mut untold = Untold::new(self, address, lease, asker);
        if patience.is_zero() {
            let reply = untold.ask(op(Asker { id: asker, wait: 0 })).await?;
            return Ok(LeaseAnswer { reply, untold });
        }
        let until = Instant::now() + patience;
        // who has arrived at a barrier holds a lease and waits for its end
        let still = if address.kind() == Kind::Barrier { Standing::Held } else { Standing::Waiting };
        let wake = self.hub.enter(Awaited::Lease(address.id(), lease, still));
        let mut closing = false;
        loop {
            let woken = wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let left = until.saturating_duration_since(Instant::now());
            let left = if closing { Duration::ZERO } else { left };
            let wait = Millis::try_from(left.as_millis()).unwrap_or(0);
            let reply = untold.ask(op(Asker { id: asker, wait })).await?;
            let alarm = match &reply {
                Reply::Waiting(_) => None,
                Reply::Parked(left) | Reply::Arrived { left, .. } => *left,
                _ => return Ok(LeaseAnswer { reply, untold }),
            };
            if left.is_zero() {
                return Ok(LeaseAnswer { reply, untold });
            }
            // where a time limit ends before, its end is asked for
            let alarm = alarm.and_then(|left| Instant::now().checked_add(millis(left) + LOOK_LATER));
            let next = alarm.map_or(until, |alarm| alarm.min(until));
            // at the end it asks once more, because much may have happened since it asked
            tokio::select! {
                _ = timeout_at(next, woken) => (),
                () = self.closing.cancelled() => closing = true,
            }
        }
    }

    /// Waits, at most for `patience`, until `enough` says of the object that it is; how it is then. `None` where nobody has
    /// used it.
    pub async fn observe(
        &self,
        address: &Address,
        patience: Duration,
        enough: impl Fn(&ObjectView) -> bool,
    ) -> Result<Option<ObjectView>, StoreError> {
        if patience.is_zero() {
            return self.look(address).await;
        }
        let until = Instant::now() + patience;
        let mut known = i64::MAX;
        loop {
            let wake = self.hub.enter(Awaited::Object(address.id(), known));
            let woken = wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let view = self.store.coordination(address).await?;
            if view.as_ref().is_some_and(&enough) {
                return Ok(view);
            }
            known = view.as_ref().map_or(0, |view| view.settings.generation);
            let _ = self.hub.enter(Awaited::Object(address.id(), known));
            tokio::select! {
                // at the end it looks once more, because much may have happened since it looked
                woken = timeout_at(until, woken) => if woken.is_err() { return self.look(address).await },
                () = self.closing.cancelled() => return Ok(view),
            }
        }
    }

    /// Puts an item into a queue, and waits for room at most for `patience`.
    pub async fn put(&self, queue: &Address, patience: Duration, put: Put) -> Result<LeaseAnswer, WriteError> {
        self.obtain(queue, put_ticket(put.id), patience, |asker| Op::Put(Put { asker, ..put.clone() })).await
    }

    /// Fetches an item from a queue, and waits for one at most for `patience`.
    pub async fn get(&self, queue: &Address, patience: Duration, get: Get) -> Result<LeaseAnswer, WriteError> {
        self.obtain(queue, get.id, patience, |asker| Op::Get(Get { asker, ..get.clone() })).await
    }

    /// An object as it is now.
    pub async fn look(&self, address: &Address) -> Result<Option<ObjectView>, StoreError> {
        self.store.coordination(address).await
    }

    /// How many requests of this process wait.
    pub fn waits(&self) -> u32 {
        self.hub.open()
    }

    /// Those ids were told over Redis.
    pub fn wake(&self, ids: impl IntoIterator<Item = Uuid>) {
        self.hub.wake(ids);
    }

    /// Hears wake-ups by a subscription of its own, from the first wait until shutdown: for a process that hears none otherwise.
    pub async fn hear(self, redis_url: String, cache: Cache, shutdown: CancellationToken) {
        let mut news = self.hub.news();
        while !self.hub.is_waited_for() {
            if shutdown.run_until_cancelled(news.changed()).await.is_none() {
                return;
            }
        }
        listen(redis_url, cache, shutdown, |ids| self.wake(ids.iter().map(|id| id.0))).await;
    }

    /// Looks at what is due and forgets what is over, until shutdown.
    pub async fn keep(self, upkeep: Upkeep, shutdown: CancellationToken) {
        let look_out = async {
            let mut news = self.hub.news();
            loop {
                let lives = self.look_and_rest().await;
                if !lives && !self.hub.is_waited_for() {
                    let _ = timeout(LOOK_IDLE, news.changed()).await;
                }
            }
        };
        let work = async { tokio::join!(look_out, self.go_on(upkeep), self.forget()) };
        shutdown.run_until_cancelled(Box::pin(work)).await;
    }

    /// The same for a process that has nothing to do with it but now and then a wait of its own: what nobody waits for is left to
    /// the others.
    pub async fn attend(self, upkeep: Upkeep, shutdown: CancellationToken) {
        let look_out = async {
            let mut news = self.hub.news();
            loop {
                while !self.hub.is_waited_for() {
                    let _ = news.changed().await; // its sender is ours too
                }
                self.look_and_rest().await;
            }
        };
        let work = async { tokio::join!(look_out, self.go_on(upkeep)) };
        shutdown.run_until_cancelled(Box::pin(work)).await;
    }

    /// Looks, and waits until it is time to look again. Whether there is anything that can run out.
    async fn look_and_rest(&self) -> bool {
        let looked = self.look_around().await;
        let pause = match &looked {
            Ok(next) => next.map_or(LOOK_EVERY, |next| (next + LOOK_LATER).clamp(LOOK_PAUSE, LOOK_EVERY)),
            Err(error) => {
                tracing::debug!(%error, "what is due cannot be looked at now");
                LOOK_EVERY
            }
        };
        sleep(pause).await;
        !matches!(looked, Ok(None))
    }

    async fn go_on(&self, mut upkeep: Upkeep) {
        while let Some(address) = upkeep.0.recv().await {
            self.pass(&address, Vec::new()).await;
        }
    }

    /// One look; how long until the next thing runs out, where there is one.
    async fn look_around(&self) -> Result<Option<Duration>, StoreError> {
        let due = self.store.coordination_due(&self.hub.waited(), OVER_MAX).await?;
        self.hub.settle(&due);
        let Due { over, next, .. } = due;
        let mut by_object: Vec<(Address, Vec<Uuid>)> = Vec::new();
        for (address, lease) in over {
            match by_object.iter_mut().find(|(known, _)| *known == address) {
                Some((_, leases)) => leases.push(lease),
                None => by_object.push((address, vec![lease])),
            }
        }
        for (address, leases) in by_object {
            self.pass(&address, leases).await;
        }
        Ok(next.and_then(|next| u64::try_from(next).ok()).map(Duration::from_millis))
    }

    /// Lets time have its way with an object. What cannot be done now, the next look finds.
    async fn pass(&self, address: &Address, leases: Vec<Uuid>) {
        if let Err(error) = self.change(address, Op::Pass(leases)).await {
            tracing::debug!(%error, "an object cannot be looked after now");
        }
    }

    async fn forget(&self) {
        let (mut after, mut pause) = (Uuid::nil(), FORGET_EVERY);
        loop {
            sleep(pause).await;
            match self.forget_some(after).await {
                Ok((next, forgotten)) => {
                    after = next.unwrap_or_default();
                    pause = if forgotten > 0 || next.is_some() { FORGET_EVERY } else { FORGET_IDLE };
                }
                Err(error) => tracing::debug!(%error, "what is over cannot be forgotten now"),
            }
        }
    }

    /// Where the next page of objects begins, and how many leases and items there were to be forgotten.
    async fn forget_some(&self, after: Uuid) -> Result<(Option<Uuid>, u64), StoreError> {
        let set_back = self.store.set_back_objects(after, OBJECTS_MAX).await?;
        if set_back > 0 {
            tracing::warn!(
                objects = set_back,
                "the database's clock was ahead; leases that it made are set back to now"
            );
        }
        let mut forgotten = 0;
        loop {
            let leases = self.store.forget_leases(FORGET_MAX).await?;
            let items = self.store.forget_items(FORGET_MAX).await?;
            forgotten += leases + items;
            if leases.max(items) < FORGET_MAX.unsigned_abs() {
                return Ok((self.store.forget_objects(after, OBJECTS_MAX).await?, forgotten));
            }
        }
    }
}
