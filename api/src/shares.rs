//! Room that all users have together, and of which no single one may take more than its share: so nobody waits because a
//! stranger takes everything. On an installation without keys everybody is one user.
//!
//! Invariant: what is taken is given back when its [`Share`] is dropped, however its request ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use caraway_shared::task::OwnerId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Users in memory before those that hold nothing are forgotten.
const USERS_MAX: usize = 1024;

/// Room, in whatever unit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    room: Arc<Semaphore>,
    per_user: usize,
    users: Arc<Mutex<HashMap<OwnerId, Weak<Semaphore>>>>,
}

/// A part of the room, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Share {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// There is no room, or this user has its share of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoRoom;

impl Shares {
    /// So much room, of which a user may have so much.
    pub(crate) fn new(room: usize, per_user: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(room)), per_user, users: Arc::default() }
    }

    /// Takes so much at once, or nothing.
    pub(crate) fn try_take(&self, owner: OwnerId, amount: usize) -> Result<Share, NoRoom> {
        let amount = u32::try_from(amount).map_err(|_| NoRoom)?;
        let own = self.user(owner).try_acquire_many_owned(amount).map_err(|_| NoRoom)?;
        let all = Arc::clone(&self.room).try_acquire_many_owned(amount).map_err(|_| NoRoom)?;
        Ok(Share { own, all })
    }

    /// Takes one, and waits for it so long; in the line of its own user first.
    pub(crate) async fn take(&self, owner: OwnerId, patience: Duration) -> Result<Share, NoRoom> {
        let taking = async {
            let own = self.user(owner).acquire_owned().await.map_err(|_| NoRoom)?;
            let all = Arc::clone(&self.room).acquire_owned().await.map_err(|_| NoRoom)?;
            Ok(Share { own, all })
        };
        timeout(patience, taking).await.unwrap_or(Err(NoRoom))
    }

    fn user(&self, owner: OwnerId) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = users.get(&owner).and_then(Weak::upgrade) {
            return known;
        }
        if users.len() >= USERS_MAX {
            users.retain(|_, user| user.strong_count() > 0);
        }
        let fresh = Arc::new(Semaphore::new(self.per_user));
        users.insert(owner, Arc::downgrade(&fresh));
        fresh
    }
}

impl Share {
    /// Takes another one's part over, which is of the same room and user.
    pub(crate) fn merge(&mut self, other: Self) {
        self.own.merge(other.own);
        self.all.merge(other.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: OwnerId = OwnerId(1);
    const BOB: OwnerId = OwnerId(2);

    #[test]
    fn nobody_takes_more_than_its_share() {
        let shares = Shares::new(10, 6);
        let mut anns = shares.try_take(ANN, 4).unwrap();
        anns.merge(shares.try_take(ANN, 2).unwrap());
        assert_eq!(shares.try_take(ANN, 1).unwrap_err(), NoRoom);
        let bobs = shares.try_take(BOB, 4).unwrap();
        assert_eq!(shares.try_take(BOB, 1).unwrap_err(), NoRoom, "the room is full");
        drop(anns);
        drop(shares.try_take(BOB, 2).unwrap());
        drop(bobs);
        drop(shares.try_take(ANN, 6).unwrap());
    }

    #[tokio::test]
    async fn one_waits_in_the_line_of_its_user() {
        let shares = Shares::new(3, 2);
        let anns = [shares.take(ANN, Duration::ZERO).await.unwrap(), shares.take(ANN, Duration::ZERO).await.unwrap()];
        assert_eq!(shares.take(ANN, Duration::from_millis(20)).await.unwrap_err(), NoRoom);
        let bob = shares.take(BOB, Duration::ZERO).await;
        assert!(bob.is_ok());
        drop(anns);
        assert!(shares.take(ANN, Duration::ZERO).await.is_ok());
    }
}
