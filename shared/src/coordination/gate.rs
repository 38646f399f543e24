//! What lets go many at once: conditions, which move their waiters into the lock's line; events. Barriers are in `barrier.rs`.

use uuid::Uuid;

use super::{
    Kind, Lease, RUNG, Standing, limits,
    object::{Millis, Object},
    op::{Asker, Reply, Share},
};

impl Object {
    /// Gives back and waits in one step, so that no notify can fall between. (Mesa: who is notified waits for the lock like
    /// others, and finds a new fence.)
    pub(super) fn park(
        &mut self,
        share: &Share,
        id: Uuid,
        line: &str,
        (asker, timeout): (Asker, Option<Millis>),
    ) -> Reply {
        if let Some(lease) = self.known(id) {
            if lease.terms.secret != share.secret {
                return Reply::WrongSecret;
            }
            let notified = lease.alarm != Some(RUNG);
            return match self.repeated(id, asker) {
                Reply::Held(grant) => Reply::Woken { grant, notified },
                other => other,
            };
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
        self.leases.entry(id).and_modify(|lease| lease.alarm = timeout.map(|timeout| lease.since + timeout));
        self.end(share.id, Standing::Released);
        Reply::Parked(timeout)
    }

    /// Waits on conditions whose time limit is over go on without a notify: they take the last places of the lock's line, because
    /// who waits on a condition has the lock when the wait ends. Before anything else happens, so that no notify finds them.
    pub(super) fn ring(&mut self) {
        let now = self.now;
        let is_due = |lease: &&Lease| {
            let parked = lease.standing == Standing::Waiting && !lease.line.is_empty() && lease.until > now;
            parked && lease.alarm.is_some_and(|alarm| alarm != RUNG && alarm <= now)
        };
        let due = self.leases.values().filter(is_due);
        let mut due: Vec<_> = due.map(|lease| (lease.alarm, lease.turn, lease.id)).collect();
        due.sort_unstable();
        let most = usize::try_from(limits::NOTIFIED_MAX).unwrap_or(0);
        self.done.again |= due.len() >= most;
        for (.., id) in due.into_iter().take(most) {
            let Some(turn) = self.take_turn() else { return };
            if let Some(lease) = self.leases.get_mut(&id) {
                (lease.line, lease.turn, lease.alarm) = (String::new(), turn, Some(RUNG));
            }
            self.done.leases.insert(id);
        }
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
            lease.alarm = None;
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

    /// A waiter that was there when it was set is let go, also when it is cleared at once: the generation has risen.
    pub(super) fn flag(&mut self, flag: bool) -> Reply {
        if self.settings.flag != flag {
            (self.settings.flag, self.done.settings) = (flag, true);
            self.settings.halted &= flag;
            if flag && self.kind == Kind::Event {
                self.settings.generation += 1;
                self.done.stirred = true;
            }
        }
        Reply::Done(self.settings.clone())
    }
}
