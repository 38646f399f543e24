//! What opens for many at once: conditions, which move their waiters into the lock's line; barriers, at which arrivals are
//! leases that all end together; events.

use uuid::Uuid;

use super::{
    Kind, Lease, Standing, Terms, limits,
    object::Object,
    op::{Asker, Reply, Share},
};

impl Object {
    /// Gives back and waits in one step, so that no notify can fall between. (Mesa: who is notified waits for the lock like
    /// others, and finds a new fence.)
    pub(super) fn park(&mut self, share: &Share, id: Uuid, line: &str, asker: Asker) -> Reply {
        if let Some(lease) = self.known(id) {
            let same = lease.terms.secret == share.secret;
            return if same { self.repeated(id, asker) } else { Reply::WrongSecret };
        }
        let terms = match self.holder(share) {
            Ok(lease) => lease.terms.clone(),
            Err(refused) => return refused,
        };
        if self.leases.values().filter(|lease| lease.is_held()).count() > 1 {
            return Reply::HeldTwice;
        }
        let place = self.queue_up(id, line, terms, asker);
        if !matches!(place, Reply::Waiting(_)) {
            return place;
        }
        self.end(share.id, Standing::Released);
        Reply::Parked
    }

    pub(super) fn notify(&mut self, share: &Share, line: &str, count: i32) -> Reply {
        if let Err(refused) = self.holder(share) {
            return refused;
        }
        let mut parked: Vec<(i64, Uuid)> =
            self.leases.values().filter(|lease| lease.waits_in(line)).map(|lease| (lease.turn, lease.id)).collect();
        parked.sort_unstable();
        let mut moved = 0;
        for (_, id) in parked.into_iter().take(usize::try_from(count).unwrap_or(0)) {
            let Some(turn) = self.take_turn() else { break };
            self.move_to_lock(id, line, turn);
            moved += 1;
        }
        Reply::Notified(moved)
    }

    /// Notifies the next waiter of a condition instead of one who is gone, whose place in the lock's line it takes. Nobody, where
    /// nobody waits.
    pub(super) fn notify_next(&mut self, line: &str, place: i64) {
        let now = self.now;
        let parked = self.leases.values().filter(|lease| lease.waits_in(line) && lease.until > now);
        if let Some(next) = parked.min_by_key(|lease| lease.turn).map(|lease| lease.id) {
            self.move_to_lock(next, line, place);
            self.done.woken.insert(next);
        }
    }

    fn move_to_lock(&mut self, id: Uuid, from: &str, place: i64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            (lease.line, lease.turn, lease.notified) = (String::new(), place, Some(from.to_owned()));
        }
        self.done.leases.insert(id);
    }

    /// The lease that the caller holds, and that is not being used in a transaction.
    fn holder(&self, share: &Share) -> Result<&Lease, Reply> {
        let Some(lease) = self.leases.get(&share.id) else { return Err(Reply::NotHeld) };
        if lease.terms.secret != share.secret {
            return Err(Reply::WrongSecret);
        }
        match lease.standing {
            Standing::Held if self.view.pinned.contains(&share.id) => Err(Reply::Pinned),
            Standing::Held => Ok(lease),
            Standing::Lost => Err(Reply::Lost),
            Standing::Waiting | Standing::Released => Err(Reply::NotHeld),
        }
    }

    /// The arrival that completes the number opens the barrier for all of them. What has passed keeps its generation in
    /// `since` and its number in `turn`.
    pub(super) fn arrive(&mut self, id: Uuid) -> Reply {
        let Some(parties) = self.settings.capacity else { return Reply::NotConfigured };
        match self.known(id).map(|lease| (lease.standing, lease.since, lease.turn)) {
            Some((Standing::Released, generation, index)) => return Reply::Passed(generation, index),
            Some((Standing::Lost, ..)) => return Reply::Lost,
            Some(_) => return self.arrived(),
            None => (),
        }
        let Some(turn) = self.take_turn() else { return Reply::TooManyWaiters };
        let lease = self.lease(id, Standing::Held, turn, limits::ARRIVAL, Terms::default());
        self.put(Lease { claimed: true, ..lease });
        let mut arrived: Vec<(i64, Uuid)> =
            self.leases.values().filter(|lease| lease.is_held()).map(|lease| (lease.turn, lease.id)).collect();
        if i32::try_from(arrived.len()).unwrap_or(i32::MAX) < parties {
            return self.arrived();
        }
        arrived.sort_unstable();
        self.settings.generation += 1;
        (self.done.settings, self.done.stirred) = (true, true);
        let generation = self.settings.generation;
        let mut reply = Reply::Missing;
        for (index, (_, lease)) in (0_i64..).zip(arrived) {
            self.end(lease, Standing::Released);
            if let Some(lease) = self.leases.get_mut(&lease) {
                (lease.since, lease.turn) = (generation, index);
            }
            self.done.woken.insert(lease);
            if lease == id {
                reply = Reply::Passed(generation, index);
            }
        }
        reply
    }

    /// How many have arrived.
    fn arrived(&self) -> Reply {
        let arrived = self.leases.values().filter(|lease| lease.is_held()).count();
        Reply::Waiting(i64::try_from(arrived).unwrap_or(i64::MAX))
    }

    /// A waiter that was there when it was set is let go, also when it is cleared at once: the generation has risen.
    pub(super) fn flag(&mut self, flag: bool) -> Reply {
        if self.settings.flag != flag {
            (self.settings.flag, self.done.settings) = (flag, true);
            if flag && self.kind == Kind::Event {
                self.settings.generation += 1;
                self.done.stirred = true;
            }
        }
        Reply::Done(self.settings.clone())
    }
}
