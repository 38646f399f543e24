//! Step 4: a queue's lane. Pointers come in, wait for a free slot, are claimed, and only then is their delivery settled.
//!
//! Invariants: a worker claims only into free slots; what it holds and cannot run it gives back to the broker, or hands on
//! to those who can (`held.rs` says when), without a write to the database.
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

use std::{pin::pin, sync::Arc, time::Duration};

use caraway_shared::{
    broken::Rule,
    broker::{BrokerError, Delivery, Settle},
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
    credit::Granted,
    execute::{Executor, execute},
    held::{Held, HeldPointer, Step},
    intake::Intake,
    overdue::Kept,
    record::record,
    silence::{Heard, watch},
    startup::Engine,
};

/// How often a lane looks at what it holds.
const LOOK_EVERY: Duration = Duration::from_millis(50);
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
    /// Slots that are kept for what is handed over.
    pub(crate) granted: Arc<Granted>,
}

impl Lane {
    pub(crate) fn new(queue: QueueName, slot_count: usize) -> Self {
        Self { queue, slots: Arc::new(Semaphore::new(slot_count)), slot_count, granted: Arc::default() }
    }

    pub(crate) fn busy(&self) -> usize {
        self.slot_count.saturating_sub(self.slots.available_permits() + self.granted.kept())
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

/// Consumes from the first free slot until there was none for a while (`Ok`) or the broker failed. Cancel-safe: what
/// is held goes back to the broker when the consumer is dropped; claims under way are tasks of their own.
async fn serve_once(engine: &Arc<Engine>, lane: &Lane) -> Result<(), BrokerError> {
    drop(lane.slots.acquire().await);
    let mut intake = Intake::new(engine.consuming.clone(), lane.queue.clone(), lane.slot_count);
    intake.open().await?;
    let mut held = Held::new(Instant::now());
    let mut look = tokio::time::interval(LOOK_EVERY);
    let heard = Heard::new();
    let mut silence = pin!(watch(engine, lane, &heard));
    loop {
        lane.granted.set_waiting(!held.is_empty());
        tokio::select! {
            delivery = intake.next() => {
                let delivery = delivery?;
                heard.note(delivery.class);
                take(engine, lane, &delivery, &mut held);
            }
            silent = &mut silence => return Err(silent),
            permit = Arc::clone(&lane.slots).acquire_owned(), if !held.is_empty() => {
                let Ok(permit) = permit else { return Err(BrokerError::Stopped) };
                claim(engine, lane, permit, &mut held);
            }
            _ = look.tick(), if !Rule::FanOut.is_broken() => {
                let slot_free = lane.slots.available_permits() > 0;
                let free_beside = engine.publisher.free_beside(&lane.queue, engine.session_id());
                let mut reopen = false;
                match held.step(Instant::now(), slot_free, free_beside > 0, &intake.closed()) {
                    Step::Wait => (),
                    Step::Reopen => reopen = true,
                    Step::Close { class, again } => {
                        held.forget(class);
                        intake.close(class, &engine.tracker);
                        reopen = again;
                    }
                    Step::Leave { hand_on } => {
                        if hand_on {
                            engine.hand_on(lane, &mut held, free_beside).await;
                        }
                        intake.leave().await;
                        return Ok(());
                    }
                }
                if reopen {
                    for class in intake.open().await? {
                        held.opened(class, Instant::now());
                        heard.note(class);
                    }
                }
            }
        }
    }
}

/// Reads a delivery; what is no bundle goes into quarantine.
fn take(engine: &Arc<Engine>, lane: &Lane, delivery: &Delivery, held: &mut Held) {
    fail::fail_point!("worker.delivered", |_| std::process::abort());
    match Bundle::decode(&delivery.body) {
        Ok(Bundle(pointers)) => {
            let (since, has_neighbours) = (Instant::now(), pointers.len() > 1);
            let shares = delivery.shares(pointers.len());
            for (pointer, settle) in pointers.into_iter().zip(shares) {
                if Rule::AckAfterSettle.is_broken() {
                    settle.clone().done();
                }
                held.push(delivery.class, HeldPointer { pointer, settle, has_neighbours, since });
            }
        }
        Err(error) => {
            tracing::debug!(queue = %lane.queue, %error, "a broker message is unreadable");
            for settle in delivery.shares(1) {
                engine.put_aside(&lane.queue, "unreadable", delivery.body.clone(), settle);
            }
        }
    }
}

/// Fills the free slots with what waits: one claim, on its way while the lane goes on.
fn claim(engine: &Arc<Engine>, lane: &Lane, first: OwnedSemaphorePermit, held: &mut Held) {
    let (mut taken, now) = (Vec::new(), Instant::now());
    let mut permit = Some(first);
    while taken.len() < CLAIM_MAX {
        let Some(slot) = permit.take().or_else(|| Arc::clone(&lane.slots).try_acquire_owned().ok()) else { break };
        let Some((class, pointer)) = held.pop(now) else { break };
        taken.push((slot, class, pointer));
    }
    let (engine, queue) = (Arc::clone(engine), lane.queue.clone());
    engine.clone().tracker.spawn(async move { engine.claim(queue, taken).await });
}

impl Engine {
    async fn claim(self: Arc<Self>, queue: QueueName, taken: Vec<(OwnedSemaphorePermit, Class, HeldPointer)>) {
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
        held: HeldPointer,
        found: Claimed,
    ) {
        let HeldPointer { pointer, settle, .. } = held;
        match found {
            Claimed::Run(claim) => {
                settle.done();
                fail::fail_point!("worker.claimed", |_| std::process::abort());
                metrics::counter!(names::CLAIMED).increment(1);
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
                tracing::debug!(task.id = %pointer.id, "a broker message names a task that does not exist");
                self.put_aside(queue, "unknown_task", Bundle(vec![pointer]).encode().to_vec(), settle);
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
    pub(crate) fn run(self: &Arc<Self>, queue: &QueueName, claim: Box<Claim>, kept: Kept) {
        let Some(ticket) = self.running.enter(claim.id, claim.epoch) else { return };
        let (engine, queue) = (Arc::clone(self), queue.clone());
        self.tracker.spawn(async move {
            let (started, hold) = (Instant::now(), claim.hold.clone());
            let attempt = engine.registry.get(&claim.name).map(|task| task.pace.begin());
            let executor = Executor {
                registry: &engine.registry,
                threads: &engine.threads,
                store: &engine.store,
                ids: &engine.ids,
                coordination: &engine.coordination,
            };
            let (row, left) = execute(claim, ticket.clone(), executor).await;
            drop(attempt);
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

    /// Publishes again what the lane holds of messages that it has claimed in part. What the broker does not take stays
    /// unsettled, and comes again with the rest of its message.
    async fn hand_on(&self, lane: &Lane, held: &mut Held, free_beside: usize) {
        for (class, parts) in held.take_parts() {
            let pointers: Vec<Pointer> = parts.iter().map(|held| held.pointer).collect();
            let size = pointers.len().div_ceil(free_beside.max(1));
            match self.publisher.hand_on(&lane.queue, class, &pointers, size).await {
                Ok(()) => {
                    metrics::counter!(names::HANDED_ON).increment(u64::try_from(parts.len()).unwrap_or(0));
                    for held in parts {
                        held.settle.done();
                    }
                }
                Err(error) => {
                    tracing::debug!(queue = %lane.queue, %error, "pointers could not be handed on; the broker has them");
                }
            }
        }
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

    pub(crate) fn note_claimed(&self, queue: &QueueName, class: Class, claim: &Claim) {
        if let (Some(queued), Some(started)) = (claim.queued_at, claim.started_at) {
            metrics::histogram!(names::WAIT_SECONDS).record(started.duration_since(queued).as_secs_f64().max(0.0));
            self.watermarks.claimed(queue, class, queued);
        }
    }
}
