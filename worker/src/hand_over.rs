//! Hand-over: grants credit for free slots, and runs what APIs hand over by it.
//!
//! Invariants: a hold is read once in a process, whether its message, a beat or the worker's end finds it; what finds no slot in a second, or has
//! no handler here, is given back to its queue with no attempt spent.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use caraway_shared::{
    broker::CreditLine,
    store::{
        Writer,
        tasks::{HandedOver, HoldId, RecordRow, Takes},
        workflows::Follow,
    },
    task::{Credit, Outcome},
    telemetry::names,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{consume::Lane, overdue::Kept, record::record, startup::Engine};

/// How often a lane looks whether its credit has to be renewed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Tasks in one message of credit, so that several APIs get some.
const MESSAGE_MAX: usize = 64;
/// How long a task that was handed over waits for a slot.
const SLOT_WAIT: Duration = Duration::from_secs(1);
/// How long a worker that ends takes for what it has not heard of.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a hold is known that the database does not show: it was read before the accept's commit.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// What this worker needs to take tasks over.
pub(crate) struct Desk {
    pub(crate) line: CreditLine,
    pub(crate) takes: Writer<Takes>,
    /// Told when a new session was opened.
    pub(crate) reopened: Notify,
    known: KnownHolds,
}

impl Desk {
    pub(crate) fn new(line: CreditLine, takes: Writer<Takes>) -> Self {
        Self { line, takes, reopened: Notify::new(), known: KnownHolds::default() }
    }
}

/// Holds that were heard of, and when.
#[derive(Default)]
struct KnownHolds(Mutex<HashMap<HoldId, Instant>>);

impl KnownHolds {
    /// Whether this is the first that is heard of a hold.
    fn is_new(&self, hold: HoldId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hold, Instant::now()).is_none()
    }

    fn forget(&self, hold: HoldId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hold);
    }

    /// Of all holds that the database has, those of which this is the first that is heard. Forgets what the database has no more.
    fn new_among(&self, held: &HashSet<HoldId>) -> Vec<HoldId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|hold, since| held.contains(hold) || since.elapsed() < KNOWN_FOR);
        held.iter().copied().filter(|hold| known.insert(*hold, Instant::now()).is_none()).collect()
    }
}

/// Grants credit for a lane's free slots until `consuming` is cancelled.
pub(crate) async fn grant(engine: Arc<Engine>, lane: Lane, consuming: CancellationToken) {
    let Some(desk) = &engine.desk else { return };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let eager = tokio::select! {
            () = consuming.cancelled() => return,
            _ = look.tick() => true,
            () = lane.granted.used.notified() => false,
        };
        let now = Instant::now();
        lane.granted.expire(now);
        let mut left = lane.granted.grant(&lane.slots, lane.slot_count, eager, now);
        while left > 0 {
            let count = left.min(MESSAGE_MAX);
            left -= count;
            let count = u32::try_from(count).unwrap_or(0);
            desk.line.grant(&Credit { session: engine.session_id(), queue: lane.queue.clone(), count });
        }
    }
}

/// Hears of what is handed over to this worker's session, until `done`.
pub(crate) async fn hear(engine: Arc<Engine>, done: CancellationToken) {
    let Some(desk) = &engine.desk else { return };
    while !done.is_cancelled() {
        let hearing = desk.line.hear(&engine.consuming, engine.session_id(), |hold| engine.hear_of(hold));
        tokio::select! {
            () = hearing => return,
            () = desk.reopened.notified() => (),
            () = done.cancelled() => return,
        }
    }
}

impl Engine {
    /// Takes a hold that a message tells of, unless it is known.
    fn hear_of(self: &Arc<Self>, hold: HoldId) {
        if self.desk.as_ref().is_some_and(|desk| desk.known.is_new(hold)) {
            self.take(hold);
        }
    }

    /// Reads a hold and runs what is in it.
    fn take(self: &Arc<Self>, hold: HoldId) {
        let Some(desk) = &self.desk else { return };
        let (engine, takes) = (Arc::clone(self), desk.takes.clone());
        self.tracker.spawn(async move {
            match takes.write(vec![hold]).await {
                Ok(tasks) => {
                    for task in tasks.into_iter().flatten() {
                        engine.begin(task);
                    }
                }
                Err(error) => {
                    tracing::warn!(hold.id = hold.0, %error, "what was handed over cannot be read; the next beat tries again");
                    engine.desk.iter().for_each(|desk| desk.known.forget(hold));
                }
            }
        });
    }

    /// Runs a task that was handed over, as soon as there is a slot.
    fn begin(self: &Arc<Self>, task: HandedOver) {
        let lane = self.lanes.iter().find(|lane| lane.queue == task.queue);
        let Some(lane) = lane.filter(|_| self.registry.get(&task.claim.name).is_some()) else {
            return self.give_back(task);
        };
        let kept = lane.granted.take();
        lane.granted.used.notify_one();
        if let Some(slot) = kept {
            return self.begin_in(slot, task);
        }
        let (engine, slots) = (Arc::clone(self), Arc::clone(&lane.slots));
        self.tracker.spawn(async move {
            match timeout(SLOT_WAIT, slots.acquire_owned()).await {
                Ok(Ok(slot)) => engine.begin_in(slot, task),
                _ => engine.give_back(task),
            }
        });
    }

    fn begin_in(self: &Arc<Self>, slot: OwnedSemaphorePermit, task: HandedOver) {
        metrics::counter!(names::HANDED_OVER).increment(1);
        self.note_claimed(&task.queue, task.class, &task.claim);
        self.run(&task.queue, task.claim, Kept { slot, alone: None });
    }

    /// Gives a task back to its queue: it was not started, so no attempt is spent.
    fn give_back(self: &Arc<Self>, task: HandedOver) {
        metrics::counter!(names::HANDED_OVER_BACK).increment(1);
        let engine = Arc::clone(self);
        self.tracker.spawn(async move {
            let (id, epoch, hold) = (task.claim.id, task.claim.epoch, task.claim.hold.clone());
            let (outcome, follow) = (Outcome::Release, Follow::default());
            record(
                &engine.records,
                &engine.announcer,
                RecordRow { id, epoch, outcome, progress: None, member: None, follow },
            )
            .await;
            drop(hold);
        });
    }

    /// Before the end: from now on accepts hand nothing over to this session, whatever credit they have.
    pub(crate) async fn refuse_hand_overs(&self) {
        if self.desk.is_some()
            && let Err(error) = self.store.drain_session(self.session_id()).await
        {
            tracing::warn!(%error, "hand-overs cannot be refused; what comes is given back");
        }
    }

    /// At the end: what was handed over, and no message told of in time, goes back to its queue.
    pub(crate) async fn give_back_untold(self: &Arc<Self>) {
        let Some(desk) = &self.desk else { return };
        let given_back = async {
            let held = self.store.handed_over(self.session_id()).await?;
            let taken = desk.takes.write(desk.known.new_among(&held)).await?;
            taken.into_iter().flatten().for_each(|task| self.give_back(task));
            self.tracker.wait().await;
            anyhow::Ok(())
        };
        match timeout(GIVE_BACK_TIMEOUT, given_back).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => tracing::warn!(%error, "what was handed over last is not given back; it will be rescued"),
            Err(_) => tracing::warn!("what was handed over last is not given back in time; it will be rescued"),
        }
    }

    /// Takes what nobody told of: its message was lost.
    pub(crate) async fn take_untold(self: &Arc<Self>) {
        let Some(desk) = &self.desk else { return };
        match self.store.handed_over(self.session_id()).await {
            Ok(held) => {
                for hold in desk.known.new_among(&held) {
                    metrics::counter!(names::HANDED_OVER_UNTOLD).increment(1);
                    self.take(hold);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "what was handed over cannot be looked up; the next beat tries again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that comes while the worker gives back what it has not heard of must not start it too.
    #[test]
    fn a_hold_is_taken_once() {
        let known = KnownHolds::default();
        let held: HashSet<HoldId> = [HoldId(1), HoldId(2)].into();
        assert!(known.is_new(HoldId(1)) && !known.is_new(HoldId(1)));
        assert_eq!(known.new_among(&held), [HoldId(2)]);
        assert!(known.new_among(&held).is_empty() && !known.is_new(HoldId(2)));
    }
}
