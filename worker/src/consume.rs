//! Step 4: a queue's lane. Pointers come in, wait for a free slot, are claimed, and only then is their delivery settled.
//!
//! Invariants: a worker claims only into free slots; it holds an unclaimed pointer for at most [`HOLD_MAX`]; when no
//! slot was free for [`FULL_MAX`] it stops consuming, and the broker gives what is unsettled to others.
//!
//! What becomes of a pointer that claims nothing (the decision table of ARCHITECTURE.md):
//!
//! | the claim found | the delivery |
//! |---|---|
//! | terminal, running, another epoch | settled: the message is worth nothing any more |
//! | no handler here | handed back for two seconds, with `waiting_reason = no_handler` |
//! | a suspect | runs in this process's one place for suspects, or is handed back |
//! | our session is dead, or it expired | handed back |
//! | no such task | put into quarantine |

use std::{collections::VecDeque, future::Future, pin::pin, sync::Arc, time::Duration};

use caraway_shared::{
    broken::Rule,
    broker::{BrokerError, Consumer, Delivery, Settle},
    store::tasks::{Claim, ClaimRow, Claimed, HandBack},
    task::{Bundle, Class, Pointer, QueueName},
    telemetry::names,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    execute::{Executor, execute},
    overdue::Kept,
    record::record,
    silence::{Heard, watch},
    startup::Engine,
};

/// How long an unclaimed pointer is held.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// How long a lane without a free slot goes on consuming.
const FULL_MAX: Duration = Duration::from_secs(1);
/// How often the two bounds above are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Pointers in one claim.
const CLAIM_MAX: usize = 128;
/// Between two tries to consume from a broker that refuses.
const PAUSE: Duration = Duration::from_millis(500);
/// The same for a queue that the broker refuses: it takes a person to remove what is in the way.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// How often that is told in the log.
const SAY_REFUSED_EVERY: Duration = Duration::from_mins(1);
/// Seconds, at most, before another worker is offered what this one has no handler for.
const NO_HANDLER_SECONDS: f64 = 2.0;
/// Seconds before what cannot be claimed now is offered again.
const NOT_NOW_SECONDS: f64 = 1.0;
/// Seconds before a claim that the database refused is tried again: a bug of ours, which must not become a hot loop.
const UNCLAIMABLE_SECONDS: f64 = 60.0;

/// One queue as this worker serves it.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) queue: QueueName,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) slot_count: usize,
}

impl Lane {
    pub(crate) fn new(queue: QueueName, slot_count: usize) -> Self {
        Self { queue, slots: Arc::new(Semaphore::new(slot_count)), slot_count }
    }

    pub(crate) fn busy(&self) -> usize {
        self.slot_count - self.slots.available_permits()
    }

    /// Unacked messages of each class: enough pointers to fill the slots twice, and no more, for a pointer that is held
    /// here is one that no other worker can take.
    fn prefetch(&self, bundle_max: usize) -> u16 {
        u16::try_from((2 * self.slot_count).div_ceil(bundle_max).max(2)).unwrap_or(u16::MAX)
    }
}

/// Serves a lane until `consuming` is cancelled. What it started runs on.
pub(crate) async fn serve(engine: Arc<Engine>, lane: Lane, consuming: CancellationToken) {
    let mut said: Option<Instant> = None;
    loop {
        let served = consuming.run_until_cancelled(serve_once(&engine, &lane)).await;
        match served {
            None => return,
            Some(Ok(())) => (), // full: wait for a slot, then consume again
            Some(Err(BrokerError::Refused(error))) => {
                if said.is_none_or(|said| said.elapsed() >= SAY_REFUSED_EVERY) {
                    tracing::error!(queue = %lane.queue, %error, "the broker refuses a queue; it is not served");
                    said = Some(Instant::now());
                }
                consuming.run_until_cancelled(tokio::time::sleep(REFUSED_PAUSE)).await;
            }
            Some(Err(error)) => {
                tracing::warn!(queue = %lane.queue, %error, "consuming is interrupted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A pointer that waits for a slot.
struct Held {
    pointer: Pointer,
    settle: Settle,
    since: Instant,
}

/// Consumes from the first free slot until there was none for a while (`Ok`) or the broker failed. Cancel-safe: what
/// is held goes back to the broker when the consumer is dropped; claims under way are tasks of their own.
async fn serve_once(engine: &Arc<Engine>, lane: &Lane) -> Result<(), BrokerError> {
    drop(lane.slots.acquire().await);
    let prefetch = lane.prefetch(engine.publisher.bundle_max(&lane.queue));
    let mut consumer = Consumer::open(&engine.consuming, &lane.queue, prefetch).await?;
    let mut held = Waiting::default();
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut free_at = Instant::now();
    let heard = Heard::new();
    let mut silence = pin!(watch(engine, lane, &heard));
    loop {
        tokio::select! {
            delivery = consumer.next() => {
                let delivery = delivery?;
                heard.note(delivery.class);
                take(engine, lane, &consumer, &delivery, &mut held);
            }
            silent = &mut silence => return Err(silent),
            permit = Arc::clone(&lane.slots).acquire_owned(), if !held.is_empty() => {
                let Ok(permit) = permit else { return Err(BrokerError::Stopped) };
                free_at = Instant::now();
                claim(engine, lane, permit, &mut held);
            }
            _ = look.tick() => {
                let now = Instant::now();
                if lane.slots.available_permits() > 0 {
                    free_at = now;
                } else if now - free_at >= FULL_MAX {
                    consumer.close().await;
                    return Ok(());
                }
                hand_back_old(engine, &mut held, now);
            }
        }
    }
}

/// What waits for a slot, the most urgent class first.
#[derive(Default)]
struct Waiting {
    high: VecDeque<Held>,
    normal: VecDeque<Held>,
    low: VecDeque<Held>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.high.is_empty() && self.normal.is_empty() && self.low.is_empty()
    }

    fn push(&mut self, class: Class, held: Held) {
        match class {
            Class::High => self.high.push_back(held),
            Class::Normal => self.normal.push_back(held),
            Class::Low => self.low.push_back(held),
        }
    }

    fn pop(&mut self) -> Option<(Class, Held)> {
        let classes = [(Class::High, &mut self.high), (Class::Normal, &mut self.normal), (Class::Low, &mut self.low)];
        classes.into_iter().find_map(|(class, queue)| queue.pop_front().map(|held| (class, held)))
    }

    fn pop_older_than(&mut self, limit: Instant) -> Option<Held> {
        let mut queues = [&mut self.high, &mut self.normal, &mut self.low].into_iter();
        queues.find_map(|queue| queue.pop_front_if(|held| held.since < limit))
    }
}

/// Reads a delivery; what is no bundle goes into quarantine.
fn take(engine: &Arc<Engine>, lane: &Lane, consumer: &Consumer, delivery: &Delivery, held: &mut Waiting) {
    fail::fail_point!("worker.delivered", |_| std::process::abort());
    match Bundle::decode(&delivery.body) {
        Ok(Bundle(pointers)) => {
            let since = Instant::now();
            let shares = consumer.shares(delivery, pointers.len());
            for (pointer, settle) in pointers.into_iter().zip(shares) {
                if Rule::AckAfterSettle.is_broken() {
                    settle.clone().done();
                }
                held.push(delivery.class, Held { pointer, settle, since });
            }
        }
        Err(error) => {
            tracing::error!(queue = %lane.queue, %error, "a broker message is unreadable and is put aside");
            for settle in consumer.shares(delivery, 1) {
                let (engine, queue) = (Arc::clone(engine), lane.queue.clone());
                let body = delivery.body.clone();
                engine
                    .clone()
                    .tracker
                    .spawn(async move { engine.quarantine(&queue, "unreadable", &body, settle).await });
            }
        }
    }
}

/// Fills the free slots with what waits: one claim, on its way while the lane goes on.
fn claim(engine: &Arc<Engine>, lane: &Lane, first: OwnedSemaphorePermit, held: &mut Waiting) {
    let mut taken = Vec::new();
    let mut permit = Some(first);
    while taken.len() < CLAIM_MAX {
        let Some(slot) = permit.take().or_else(|| Arc::clone(&lane.slots).try_acquire_owned().ok()) else { break };
        let Some((class, pointer)) = held.pop() else { break };
        taken.push((slot, class, pointer));
    }
    let (engine, queue) = (Arc::clone(engine), lane.queue.clone());
    engine.clone().tracker.spawn(async move { engine.claim(queue, taken).await });
}

fn hand_back_old(engine: &Arc<Engine>, held: &mut Waiting, now: Instant) {
    let Some(limit) = now.checked_sub(HOLD_MAX) else { return };
    while let Some(old) = held.pop_older_than(limit) {
        engine.hand_back(old.pointer, old.settle, 0.0, None);
    }
}

impl Engine {
    async fn claim(self: Arc<Self>, queue: QueueName, taken: Vec<(OwnedSemaphorePermit, Class, Held)>) {
        let rows = taken.iter().map(|(.., held)| ClaimRow { pointer: held.pointer, suspect: false }).collect();
        let answers = match self.claims.write(rows).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(queue = %queue, %error, "a claim was not written; its tasks are handed back");
                for (_, _, held) in taken {
                    self.hand_back(held.pointer, held.settle, UNCLAIMABLE_SECONDS, None);
                }
                return;
            }
        };
        for ((slot, class, held), answer) in taken.into_iter().zip(answers) {
            self.settle(&queue, slot, class, held, answer);
        }
    }

    /// Acts on what a claim found. The delivery is settled here, or by the task that hands the pointer back.
    fn settle(
        self: &Arc<Self>,
        queue: &QueueName,
        slot: OwnedSemaphorePermit,
        class: Class,
        held: Held,
        found: Claimed,
    ) {
        let Held { pointer, settle, .. } = held;
        match found {
            Claimed::Run(claim) => {
                settle.done();
                fail::fail_point!("worker.claimed", |_| std::process::abort());
                self.note_claimed(queue, class, &claim);
                self.run(queue, claim, Kept { slot, alone: None });
            }
            Claimed::Stale => {
                metrics::counter!(names::STALE).increment(1);
                settle.done();
            }
            // each at its own time, or the broker's round robin could bring the same ones to the same worker for ever
            Claimed::NoHandler => {
                let wait = NO_HANDLER_SECONDS * rand::random::<f64>();
                self.hand_back(pointer, settle, wait, Some("no_handler"));
            }
            Claimed::NotNow => self.hand_back(pointer, settle, NOT_NOW_SECONDS, None),
            Claimed::Suspect => {
                let (engine, queue) = (Arc::clone(self), queue.clone());
                self.tracker.spawn(async move { engine.claim_suspect(&queue, slot, pointer, settle).await });
            }
            Claimed::Missing => {
                tracing::error!(task.id = %pointer.id, "a broker message names a task that does not exist");
                let (engine, queue) = (Arc::clone(self), queue.clone());
                let body = Bundle(vec![pointer]).encode();
                self.tracker.spawn(async move { engine.quarantine(&queue, "unknown_task", &body, settle).await });
            }
        }
    }

    /// A suspect runs as the only one of its process, so that a crash is its own and not its neighbours'. One that finds
    /// the place taken goes back, for here it would only keep a slot from others.
    async fn claim_suspect(
        self: Arc<Self>,
        queue: &QueueName,
        slot: OwnedSemaphorePermit,
        pointer: Pointer,
        settle: Settle,
    ) {
        let Ok(alone) = Arc::clone(&self.suspects).try_acquire_owned() else {
            return self.hand_back(pointer, settle, NOT_NOW_SECONDS, None);
        };
        let answer = self.claims.write(vec![ClaimRow { pointer, suspect: true }]).await;
        match answer.map(|answers| answers.into_iter().next()) {
            Ok(Some(Claimed::Run(claim))) => {
                tracing::info!(task.id = %claim.id, queue = %queue, "a task that was lost twice runs as a suspect");
                settle.done();
                self.run(queue, claim, Kept { slot, alone: Some(alone) });
            }
            Ok(Some(Claimed::Stale)) => settle.done(),
            Ok(_) => self.hand_back(pointer, settle, NOT_NOW_SECONDS, None),
            Err(error) => {
                tracing::error!(task.id = %pointer.id, %error, "a claim was not written; the task is handed back");
                self.hand_back(pointer, settle, UNCLAIMABLE_SECONDS, None);
            }
        }
    }

    /// Runs a claimed task to its recorded outcome; then the slot is free, unless too many handlers are overdue.
    fn run(self: &Arc<Self>, queue: &QueueName, claim: Box<Claim>, kept: Kept) {
        let Some(ticket) = self.running.enter(claim.id, claim.epoch) else { return };
        let (engine, queue) = (Arc::clone(self), queue.clone());
        self.tracker.spawn(async move {
            let (started, hold) = (Instant::now(), claim.hold.clone());
            let executor = Executor {
                registry: &engine.registry,
                threads: &engine.threads,
                store: &engine.store,
                coordination: &engine.coordination,
            };
            let (row, left) = execute(claim, ticket.clone(), executor).await;
            fail::fail_point!("worker.executed", |_| std::process::abort());
            metrics::histogram!(names::RUN_SECONDS).record(started.elapsed().as_secs_f64());
            record(&engine.records, &engine.announcer, row).await;
            fail::fail_point!("worker.recorded", |_| std::process::abort());
            drop((ticket, hold));
            if let Some(job) = left {
                engine.overdue.take(&queue, job, kept).await;
            }
        });
    }

    fn hand_back(self: &Arc<Self>, pointer: Pointer, settle: Settle, after_seconds: f64, reason: Option<&'static str>) {
        metrics::counter!(names::HANDED_BACK).increment(1);
        let engine = Arc::clone(self);
        self.tracker.spawn(async move {
            match engine.hand_backs.write(vec![HandBack { pointer, after_seconds, reason }]).await {
                Ok(_) => settle.done(),
                Err(error) => tracing::error!(task.id = %pointer.id, %error, "a hand-back was not written"),
            }
        });
    }

    async fn quarantine(&self, queue: &QueueName, reason: &str, body: &[u8], settle: Settle) {
        metrics::counter!(names::QUARANTINED).increment(1);
        until_done(async || self.store.quarantine(queue.as_str(), reason, body).await).await;
        settle.done();
    }

    fn note_claimed(&self, queue: &QueueName, class: Class, claim: &Claim) {
        if let (Some(queued), Some(started)) = (claim.queued_at, claim.started_at) {
            metrics::histogram!(names::WAIT_SECONDS).record(started.duration_since(queued).as_secs_f64().max(0.0));
            self.watermarks.claimed(queue, class, queued);
        }
    }
}

/// Repeats a write that must get through.
async fn until_done<F: Future<Output = Result<(), caraway_shared::store::StoreError>>>(write: impl Fn() -> F) {
    while let Err(error) = write().await {
        tracing::warn!(%error, "a write is repeated");
        tokio::time::sleep(PAUSE).await;
    }
}
