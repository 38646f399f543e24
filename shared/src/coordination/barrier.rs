//! Barriers: arrivals are leases that all end together, when as many have arrived as it has parties.
//!
//! A tombstone tells what became of an arrival: released, it has passed, and keeps its generation in `since` and its number in
//! `turn`; lost, it was taken back or ran out (`claimed`), or the barrier broke while it stood there (not `claimed`).
//!
//! Invariants: nobody passes alone; at a barrier that is broken nobody stands.

use uuid::Uuid;

use super::{
    Lease, Standing, Terms, limits,
    object::{Millis, Object},
    op::Reply,
};

impl Object {
    /// The arrival that completes the number opens the barrier for all of them.
    pub(super) fn arrive(&mut self, id: Uuid, timeout: Option<Millis>) -> Reply {
        let Some(parties) = self.settings.capacity else { return Reply::NotConfigured };
        match self.ended_arrival(id) {
            Some(ended) => return ended,
            None if self.known(id).is_some() => return self.arrived(),
            None if self.settings.flag => return Reply::Broken,
            None => (),
        }
        let Some(turn) = self.take_turn() else { return Reply::TooManyWaiters };
        let lease = self.lease(id, Standing::Held, turn, timeout.unwrap_or(limits::ARRIVAL), Terms::default());
        let alarm = timeout.map(|_| lease.until);
        self.put(Lease { claimed: true, alarm, ..lease });
        let mut arrived = self.at_barrier();
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

    /// Takes an arrival back, unless it has passed. The tombstone refuses a request that is still on its way.
    pub(super) fn leave(&mut self, id: Uuid) -> Reply {
        if self.settings.capacity.is_none() {
            return Reply::NotConfigured;
        }
        match self.ended_arrival(id) {
            Some(Reply::Lost) => return Reply::Released, // it was taken back before
            Some(passed_or_broken) => return passed_or_broken,
            None if self.known(id).is_some() => self.send_off(id, true),
            None => {
                let lease = self.lease(id, Standing::Lost, 0, limits::REMEMBERED, Terms::default());
                self.put(Lease { claimed: true, ..lease });
            }
        }
        Reply::Released
    }

    /// Who has arrived is refused, and who arrives before a reset.
    pub(super) fn abort(&mut self) -> Reply {
        if self.settings.capacity.is_none() {
            return Reply::NotConfigured;
        }
        self.break_up();
        Reply::Done(self.settings.clone())
    }

    /// Who has arrived is refused, and the barrier is as one that was just made; it counts its openings on.
    pub(super) fn reset(&mut self) -> Reply {
        if self.settings.capacity.is_none() {
            return Reply::NotConfigured;
        }
        self.break_up();
        self.settings.flag = false;
        Reply::Done(self.settings.clone())
    }

    /// An arrival whose time limit is over breaks the barrier for all who stand there.
    pub(super) fn pass_arrivals(&mut self, ended: &[Uuid]) {
        let ran_out = |id: &Uuid| self.leases.get(id).is_some_and(|lease| lease.alarm.is_some());
        let ran_out: Vec<Uuid> = ended.iter().copied().filter(ran_out).collect();
        if ran_out.is_empty() {
            return;
        }
        for id in ran_out {
            self.send_off(id, false);
        }
        self.break_up();
    }

    fn break_up(&mut self) {
        for (_, id) in self.at_barrier() {
            self.send_off(id, false);
        }
        self.settings.flag = true;
        (self.done.settings, self.done.stirred) = (true, true);
    }

    /// Ends an arrival that does not pass, and tells its client.
    fn send_off(&mut self, id: Uuid, taken_back: bool) {
        let now = self.now;
        if let Some(lease) = self.leases.get_mut(&id) {
            (lease.standing, lease.claimed) = (Standing::Lost, taken_back);
            (lease.since, lease.until) = (now, now + limits::REMEMBERED);
            self.done.leases.insert(id);
            self.done.woken.insert(id);
        }
    }

    /// What an arrival that has ended is told.
    fn ended_arrival(&self, id: Uuid) -> Option<Reply> {
        let lease = self.known(id)?;
        match lease.standing {
            Standing::Released => Some(Reply::Passed(lease.since, lease.turn)),
            Standing::Lost if lease.claimed => Some(Reply::Lost),
            Standing::Lost => Some(Reply::Broken),
            Standing::Held | Standing::Waiting => None,
        }
    }

    /// Who stands at it, and in which place.
    fn at_barrier(&self) -> Vec<(i64, Uuid)> {
        self.leases.values().filter(|lease| lease.is_held()).map(|lease| (lease.turn, lease.id)).collect()
    }

    /// How many have arrived, and for how long at most they stand there together.
    fn arrived(&self) -> Reply {
        let here = || self.leases.values().filter(|lease| lease.is_held());
        let first = here().filter_map(|lease| lease.alarm).min();
        let count = i64::try_from(here().count()).unwrap_or(i64::MAX);
        Reply::Arrived { count, left: first.map(|alarm| (alarm - self.now).max(0)) }
    }
}
