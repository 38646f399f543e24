//! The slots of a lane for which credit is granted: kept free until the credit is used or over.
//!
//! Invariants: at most half of a lane's slots are fresh credit, and a quarter is never kept, so what the broker delivers finds a slot at
//! once; credit is renewed before APIs stop using it, so an idle lane of four slots or more always has some with them; nothing is
//! granted while anything waits in the lane.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use caraway_shared::broker::CREDIT_VALID;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Credit this old is granted again, for it is about to end.
const FRESH: Duration = Duration::from_millis(600);
/// How long slots are kept: as long as an API may use the credit, and its message takes.
const KEPT: Duration = CREDIT_VALID.saturating_add(Duration::from_millis(250));
/// One in so many slots is never kept, and one at least: what the broker delivers must not wait for credit to end.
const RESERVED: usize = 4;
/// The part of the credit that a lane could have, below which it waits for the next look.
const PART: usize = 8;

/// Slots that were promised in one grant.
struct Grant {
    slots: OwnedSemaphorePermit,
    since: Instant,
}

/// What a lane has granted.
#[derive(Default)]
pub(crate) struct Granted {
    grants: Mutex<VecDeque<Grant>>,
    waiting: AtomicBool,
    /// Told when some of it was used.
    pub(crate) used: Notify,
}

impl Granted {
    /// Whether the lane holds pointers that have no slot.
    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Release);
    }

    /// Slots that are kept for it.
    pub(crate) fn kept(&self) -> usize {
        self.lock().iter().map(|grant| grant.slots.num_permits()).sum()
    }

    /// Gives back what is over.
    pub(crate) fn expire(&self, now: Instant) {
        self.lock().retain(|grant| grant.slots.num_permits() > 0 && now - grant.since < KEPT);
    }

    /// Keeps slots for more credit; for how many tasks. With `eager` for a single one, too.
    pub(crate) fn grant(&self, slots: &Arc<Semaphore>, slot_count: usize, eager: bool, now: Instant) -> usize {
        if self.waiting.load(Ordering::Acquire) {
            return 0;
        }
        let mut grants = self.lock();
        let fresh = grants.iter().filter(|grant| now - grant.since < FRESH);
        let (fresh, most) = (fresh.map(|grant| grant.slots.num_permits()).sum::<usize>(), slot_count / 2);
        let for_the_queue = (slot_count / RESERVED).max(1);
        let count = most.saturating_sub(fresh).min(slots.available_permits().saturating_sub(for_the_queue));
        if count == 0 || (!eager && count < most / PART) {
            return 0;
        }
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        let Ok(slots) = Arc::clone(slots).try_acquire_many_owned(permits) else { return 0 };
        fail::fail_point!("credit.not_kept", |_| count);
        grants.push_back(Grant { slots, since: now });
        count
    }

    /// One of the kept slots, the oldest first.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        let mut grants = self.lock();
        while let Some(oldest) = grants.front_mut() {
            if let Some(slot) = oldest.slots.split(1) {
                return Some(slot);
            }
            grants.pop_front();
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Grant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(100);

    fn lane(count: usize) -> (Granted, Arc<Semaphore>) {
        (Granted::default(), Arc::new(Semaphore::new(count)))
    }

    #[tokio::test]
    async fn half_of_the_slots_are_credit_and_no_more() {
        for (count, granted) in [(1, 0), (2, 1), (8, 4), (9, 4)] {
            let (credit, slots) = lane(count);
            let now = Instant::now();
            assert_eq!(credit.grant(&slots, count, true, now), granted, "{count}");
            assert_eq!(credit.grant(&slots, count, true, now), 0, "{count}");
            assert_eq!((credit.kept(), slots.available_permits()), (granted, count - granted));
        }
    }

    /// However often it is renewed: a slot is left for what the broker delivers.
    #[tokio::test]
    async fn some_slots_are_never_kept() {
        for (count, left) in [(2, 1), (3, 1), (4, 1), (8, 2), (64, 16)] {
            let (credit, slots) = lane(count);
            let now = Instant::now();
            for step in 0..100 {
                let now = now + LOOK * step;
                credit.expire(now);
                credit.grant(&slots, count, true, now);
                assert!(slots.available_permits() >= left, "{} of {count}, at {step}", slots.available_permits());
            }
        }
    }

    #[tokio::test]
    async fn it_is_renewed_before_it_ends_and_slots_come_back() {
        let (credit, slots) = lane(8);
        let now = Instant::now();
        assert_eq!(credit.grant(&slots, 8, true, now), 4);
        assert_eq!(credit.grant(&slots, 8, true, now + FRESH), 2);
        assert_eq!(credit.grant(&slots, 8, true, now + FRESH), 0, "a quarter is never kept");
        credit.expire(now + KEPT);
        assert_eq!((credit.kept(), slots.available_permits()), (2, 6));
        credit.expire(now + FRESH + KEPT);
        assert_eq!((credit.kept(), slots.available_permits()), (0, 8));
    }

    #[tokio::test]
    async fn what_is_used_is_granted_again_once_it_is_free_and_worth_it() {
        let (credit, slots) = lane(64);
        let now = Instant::now();
        assert_eq!(credit.grant(&slots, 64, true, now), 32);
        let mut used: Vec<_> = (0..3).filter_map(|_| credit.take()).collect();
        assert_eq!((used.len(), credit.kept()), (3, 29));
        assert_eq!(credit.grant(&slots, 64, false, now), 0, "fewer than an eighth");
        used.extend(credit.take());
        assert_eq!(credit.grant(&slots, 64, false, now), 4);
        credit.set_waiting(true);
        used.extend((0..32).filter_map(|_| credit.take()));
        assert_eq!(credit.grant(&slots, 64, true, now), 0, "while something waits");
        assert!(credit.take().is_none());
        drop(used);
        assert_eq!(slots.available_permits(), 64);
    }
}
