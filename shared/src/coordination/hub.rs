//! Who waits in this process, for which lease or object: thousands of open waits cost one subscription, and one statement now
//! and then for all of them.
//!
//! Invariants: there is an entry exactly while somebody waits; a wait is entered before the database is asked, so that no wake-up
//! can fall between; wake-ups may be lost, so the timer asks for all of them; the answer is always the database's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{Notify, futures::Notified, watch};
use uuid::Uuid;

use super::{Standing, wake_id};
use crate::store::coordination::{Due, Waited};

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    /// That this lease of this object has another standing than this one.
    Lease(Uuid, Uuid, Standing),
    /// That this object has another generation than this one.
    Object(Uuid, i64),
}

struct Wait {
    wake: Weak<Notify>,
    awaited: Awaited,
}

/// The waits. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Hub {
    waits: Arc<Mutex<HashMap<Uuid, Wait>>>,
    news: watch::Sender<()>,
}

impl Hub {
    /// One entry for all who wait for the same; it goes with the last of them.
    pub(super) fn enter(&self, awaited: Awaited) -> Waiter {
        let id = match awaited {
            Awaited::Lease(object, lease, _) => wake_id(object, lease),
            Awaited::Object(object, _) => object,
        };
        let mut waits = self.lock();
        if let Some(wait) = waits.get_mut(&id)
            && let Some(wake) = wait.wake.upgrade()
        {
            wait.awaited = wait.awaited.older(awaited);
            return Waiter { hub: self.clone(), id, wake };
        }
        let wake = Arc::new(Notify::new());
        waits.insert(id, Wait { wake: Arc::downgrade(&wake), awaited });
        self.stir();
        Waiter { hub: self.clone(), id, wake }
    }

    /// Changes whenever another wait is entered, or something has been changed by this process.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Something has been changed.
    pub(super) fn stir(&self) {
        self.news.send_replace(());
    }

    /// How many wait.
    pub(super) fn open(&self) -> u32 {
        let waits = self.lock();
        waits.values().map(|wait| u32::try_from(wait.wake.strong_count()).unwrap_or(u32::MAX)).sum()
    }

    /// These should look again.
    pub(super) fn wake(&self, ids: impl IntoIterator<Item = Uuid>) {
        let waits = self.lock();
        if waits.is_empty() {
            return; // ids of tasks come by, thousands a second
        }
        for wake in ids.into_iter().filter_map(|id| waits.get(&id)).filter_map(|wait| wait.wake.upgrade()) {
            wake.notify_waiters();
        }
    }

    /// Everything that is waited for.
    pub(super) fn waited(&self) -> Waited {
        let waits = self.lock();
        let mut waited = Waited::default();
        for wait in waits.values() {
            match wait.awaited {
                Awaited::Lease(object, lease, standing) => {
                    waited.leases.push(object);
                    waited.ids.push(lease);
                    waited.standings.push(standing.as_str());
                }
                Awaited::Object(object, _) => waited.objects.push(object),
            }
        }
        waited
    }

    /// Whether anybody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Wakes whoever has what it waits for.
    pub(super) fn settle(&self, due: &Due) {
        self.wake(due.moved.iter().map(|(object, lease)| wake_id(*object, *lease)));
        let mut waits = self.lock();
        for (object, generation) in &due.generations {
            let now = Awaited::Object(*object, *generation);
            if let Some(wait) = waits.get_mut(object)
                && wait.awaited != now
                && let Some(wake) = wait.wake.upgrade()
            {
                wait.awaited = now; // which all of them know when they have looked
                wake.notify_waiters();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's part in an entry.
pub(super) struct Waiter {
    hub: Hub,
    id: Uuid,
    wake: Arc<Notify>,
}

impl Waiter {
    /// That they should look again.
    pub(super) fn notified(&self) -> Notified<'_> {
        self.wake.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // others enter under the same lock, so the last one is the last one
        let mut waits = self.hub.lock();
        if Arc::strong_count(&self.wake) == 1 {
            waits.remove(&self.id);
        }
    }
}

impl Awaited {
    /// Of several who wait for one object, the one who knows least is told.
    fn older(self, other: Self) -> Self {
        match (self, other) {
            (Self::Object(_, mine), Self::Object(_, theirs)) if theirs < mine => other,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_and_forgotten() {
        let (hub, object, lease) = (Hub::default(), Uuid::new_v4(), Uuid::new_v4());
        let wake = hub.enter(Awaited::Lease(object, lease, Standing::Waiting));
        let (other, woken) = (hub.enter(Awaited::Lease(object, lease, Standing::Waiting)), wake.notified());
        assert_eq!(hub.open(), 2);
        drop(other);
        let waited = hub.waited();
        assert_eq!((waited.leases, waited.ids, waited.standings), (vec![object], vec![lease], vec!["waiting"]));
        hub.settle(&Due { moved: vec![(object, lease)], ..Due::default() });
        woken.await;
        drop(wake);
        assert!(hub.waited().leases.is_empty());
        assert_eq!(hub.open(), 0);
    }

    #[tokio::test]
    async fn another_generation_wakes() {
        let (hub, object) = (Hub::default(), Uuid::new_v4());
        let wake = hub.enter(Awaited::Object(object, 3));
        let woken = wake.notified();
        tokio::pin!(woken);
        assert!(!woken.as_mut().enable());
        hub.settle(&Due { generations: vec![(object, 3)], ..Due::default() });
        assert!(futures::poll!(woken.as_mut()).is_pending());
        hub.settle(&Due { generations: vec![(object, 4)], ..Due::default() });
        woken.await;
    }
}
