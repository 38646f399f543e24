//! The specification: what one object does with one request. Pure; the clock comes in as [`Object::now`].
//!
//! An object may be known in part. Then what is missing is told by [`View`]: permits of leases that hold and are out of sight,
//! and how far one can see along the line. An object in memory is known whole, with nothing out of sight. Both must answer
//! alike (`shared/testkit/tests/system/coordination_model.rs`).
//!
//! Invariants: the permits of what is held never exceed the capacity at a grant; a fence is greater than all before it; nobody
//! is granted before somebody who stands before them in the line and lives; a lease that has ended never lives again.
//!
//! The file is long because all operations on the lines and leases of an object stand beside each other: they share its invariants.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    Kind, Lease, Standing, Terms,
    done::Done,
    item::{Item, Order, PUTS, Unseen},
    limits,
    op::{Asker, Grant, Op, Reply, Share},
};

/// Milliseconds since 1970, by the database's clock.
pub type Millis = i64;

/// What of an object is not made from its leases and items.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Permits, parties, or items that fit; `None`: no bound, or not configured.
    pub capacity: Option<i32>,
    /// Somebody has configured it. Locks and events need none of it.
    pub configured: bool,
    /// Rises when those who wait for the object itself have what they wait for.
    pub generation: i64,
    /// An event is set; a queue takes no more; a barrier is broken.
    pub flag: bool,
    /// A queue that takes no more gives nothing either, and drops what nobody has.
    pub halted: bool,
    /// Of a queue.
    pub order: Order,
    /// Of a queue: an item that was fetched so often and is not done is dead.
    pub attempts_max: i32,
}

/// What is out of sight.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Permits of leases that hold.
    pub held: i64,
    /// How many wait in the object's own line.
    pub waiting: i64,
    /// How many wait in the others: conditions, producers.
    pub beside: i64,
    /// The last place of the line that is in sight, where it goes on.
    pub horizon: Option<i64>,
    /// The last place of a queue's line of producers that is in sight, where it may go on.
    pub puts_horizon: Option<i64>,
    /// Leases on which a transaction of their holder's stands: they can neither end nor change.
    pub pinned: BTreeSet<Uuid>,
}

/// One object at one moment.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// The moment.
    pub now: Millis,
    /// Its settings.
    pub settings: Settings,
    /// What is out of sight.
    pub view: View,
    /// What is in sight.
    pub leases: BTreeMap<Uuid, Lease>,
    /// Items of a queue that are in sight, and what is not.
    pub items: BTreeMap<Uuid, Item>,
    /// The same.
    pub unseen: Unseen,
    /// The next place or fence, and the last one that may be taken.
    pub turns: (i64, i64),
    /// What the steps since have done.
    pub done: Done,
}

impl Object {
    /// One that nobody has used.
    pub fn new(kind: Kind, now: Millis, turns: (i64, i64)) -> Self {
        Self {
            kind,
            now,
            settings: Settings { attempts_max: limits::ATTEMPTS_DEFAULT, ..Settings::default() },
            view: View::default(),
            leases: BTreeMap::new(),
            items: BTreeMap::new(),
            unseen: Unseen::default(),
            turns,
            done: Done::default(),
        }
    }

    /// Does it.
    pub fn step(&mut self, op: &Op) -> Reply {
        self.pass();
        let reply = match op {
            Op::Acquire { id, terms, expect, asker } => self.acquire(*id, terms, *expect, *asker),
            Op::Renew { share, ttl_ms } => self.renew(share, *ttl_ms),
            Op::Release(share) => self.release(share),
            Op::Abandon { id, asker } => self.abandon(*id, *asker),
            Op::Break(fence) => self.break_open(*fence),
            Op::Delete => self.delete(),
            Op::Resize(capacity) => self.resize(*capacity),
            Op::Park { share, id, line, asker, timeout } => self.park(share, *id, line, (*asker, *timeout)),
            Op::Notify { share, line, count } => self.notify(share, line, *count),
            Op::Arrive { id, timeout } => self.arrive(*id, *timeout),
            Op::Leave(id) => self.leave(*id),
            Op::Abort => self.abort(),
            Op::Reset => self.reset(),
            Op::Flag(flag) => self.flag(*flag),
            Op::Halt => self.halt(),
            Op::Purge => self.purge(),
            Op::Configure { capacity, order, attempts_max } => self.configure(*capacity, *order, *attempts_max),
            Op::Put(put) => self.put_item(put),
            Op::Withdraw(item) => self.withdraw(*item),
            Op::PutBack(items) => self.put_back(items),
            Op::Get(get) => self.get_item(get),
            Op::Finish(share) => self.finish(share),
            Op::GiveBack(share, delay) => self.give_back(share, *delay),
            Op::Pass(_) => Reply::Done(self.settings.clone()),
        };
        self.pass();
        reply
    }

    fn acquire(&mut self, id: Uuid, terms: &Terms, expect: Option<i64>, asker: Asker) -> Reply {
        if let Some(lease) = self.known(id) {
            let same = lease.terms.permits == terms.permits && lease.terms.owner == terms.owner;
            if lease.terms.secret != terms.secret {
                return Reply::WrongSecret;
            }
            if let Some(capacity) = self.capacity().filter(|capacity| lease.terms.permits > *capacity)
                && !lease.is_held()
            {
                return Reply::NeverFits(capacity); // since it waits, the capacity was lowered
            }
            return if same || !lease.is_live() { self.repeated(id, asker) } else { Reply::Reused };
        }
        let Some(capacity) = self.capacity() else { return Reply::NotConfigured };
        if terms.permits > capacity {
            return Reply::NeverFits(capacity);
        }
        let own = self.held_by(terms);
        if expect.is_some() && own.map(|(fence, _)| fence) != expect {
            return Reply::Lost;
        }
        if let Some((fence, holds)) = own {
            return if holds < limits::HOLDS_MAX { self.enter(id, terms, fence, asker) } else { Reply::TooManyHolds };
        }
        if self.waiting() == 0
            && self.fits(terms.permits)
            && let Some(fence) = self.take_turn()
        {
            return self.enter(id, terms, fence, asker);
        }
        if asker.wait == 0 {
            return Reply::WouldBlock(self.next_end());
        }
        self.queue_up(id, "", terms.clone(), asker)
    }

    /// Takes the last place of a line.
    pub(super) fn queue_up(&mut self, id: Uuid, line: &str, terms: Terms, asker: Asker) -> Reply {
        if self.is_crowded() {
            return Reply::TooManyWaiters;
        }
        let Some(turn) = self.take_turn() else { return Reply::TooManyWaiters };
        let lease = self.lease(id, Standing::Waiting, turn, asker.wait + limits::TICKET, terms);
        self.put(Lease { line: line.to_owned(), asker: Some(asker.id), ..lease });
        Reply::Waiting(self.waiting())
    }

    /// A lease that is there already.
    pub(super) fn repeated(&mut self, id: Uuid, asker: Asker) -> Reply {
        let (now, waiting) = (self.now, self.waiting());
        let re_entry =
            self.leases.get(&id).filter(|lease| lease.waits_in("")).and_then(|lease| self.held_by(&lease.terms));
        let Some(lease) = self.leases.get_mut(&id) else { return Reply::Missing };
        match lease.standing {
            Standing::Held => {
                if !lease.claimed {
                    (lease.claimed, lease.until) = (true, now + Millis::from(lease.terms.ttl_ms));
                    (lease.asker, lease.notified) = (Some(asker.id), None);
                    self.done.leases.insert(id);
                }
                Reply::Held(Grant { fence: lease.turn, left: lease.until - now })
            }
            Standing::Waiting => {
                if let Some((fence, _)) = re_entry {
                    let terms = lease.terms.clone();
                    return self.enter(id, &terms, fence, asker);
                }
                lease.until = lease.until.max(now + asker.wait + limits::TICKET);
                lease.asker = Some(asker.id);
                self.done.leases.insert(id);
                // a line beside a lock's is a condition's; that of a queue is its producers'
                let is_parked = self.kind == Kind::Lock && !lease.line.is_empty();
                let left = lease.alarm.map(|alarm| (alarm - now).max(0));
                if is_parked { Reply::Parked(left) } else { Reply::Waiting(waiting) }
            }
            Standing::Released | Standing::Lost => Reply::Lost,
        }
    }

    fn renew(&mut self, share: &Share, ttl_ms: Option<i32>) -> Reply {
        let (now, pinned) = (self.now, self.view.pinned.contains(&share.id));
        let Some(lease) = self.leases.get_mut(&share.id) else { return Reply::Missing };
        if lease.terms.secret != share.secret {
            return Reply::WrongSecret;
        }
        match lease.standing {
            Standing::Held => {
                if !pinned {
                    lease.terms.ttl_ms = ttl_ms.unwrap_or(lease.terms.ttl_ms);
                    let until = now + Millis::from(lease.terms.ttl_ms);
                    (lease.claimed, lease.until) = (true, until.min(lease.since + limits::HOLD_MAX));
                    (lease.asker, lease.notified) = (None, None); // its client knows
                    self.done.leases.insert(share.id);
                }
                Reply::Held(Grant { fence: lease.turn, left: lease.until - now })
            }
            Standing::Waiting => Reply::NotHeld,
            Standing::Released | Standing::Lost => Reply::Lost,
        }
    }

    pub(super) fn release(&mut self, share: &Share) -> Reply {
        let Some(lease) = self.known(share.id) else {
            let terms = Terms { secret: share.secret.clone(), ..Terms::default() };
            self.put(self.lease(share.id, Standing::Released, 0, limits::REMEMBERED, terms));
            return Reply::Released;
        };
        if lease.terms.secret != share.secret {
            return Reply::WrongSecret;
        }
        match lease.standing {
            Standing::Lost => Reply::Lost,
            Standing::Released if lease.notified.is_some() => Reply::ReleasedNotified,
            Standing::Released => Reply::Released,
            Standing::Held if self.view.pinned.contains(&share.id) => Reply::Pinned,
            Standing::Held | Standing::Waiting => {
                let reply = if lease.notified.is_some() { Reply::ReleasedNotified } else { Reply::Released };
                self.end(share.id, Standing::Released);
                self.leases.entry(share.id).and_modify(|lease| lease.asker = None);
                reply
            }
        }
    }

    fn resize(&mut self, capacity: i32) -> Reply {
        (self.settings.capacity, self.settings.configured) = (Some(capacity), true);
        self.done.settings = true;
        Reply::Done(self.settings.clone())
    }

    /// What time has brought: leases that have run out end, and who stands first in the line is let in, as far as it goes.
    pub fn pass(&mut self) {
        if self.kind == Kind::Lock {
            self.ring();
        }
        let over = |lease: &&Lease| lease.is_live() && lease.until <= self.now && !self.view.pinned.contains(&lease.id);
        let ended: Vec<Uuid> = self.leases.values().filter(over).map(|lease| lease.id).collect();
        for id in &ended {
            self.end(*id, Standing::Lost);
        }
        match self.kind {
            Kind::WorkQueue => return self.pass_items(&ended),
            Kind::Barrier => return self.pass_arrivals(&ended),
            Kind::Lock | Kind::Semaphore | Kind::Event => (),
        }
        while let Some(first) = self.first_in("") {
            let Some(permits) = self.leases.get(&first).map(|lease| lease.terms.permits) else { return };
            if self.capacity().is_some_and(|capacity| permits > capacity) {
                // or it would keep all others out, for as long as it likes
                self.end(first, Standing::Released);
                self.done.woken.insert(first);
                self.done.again |= self.view.horizon.is_some();
                continue;
            }
            if !self.fits(permits) {
                return;
            }
            let Some(fence) = self.take_turn() else { return };
            self.grant(first, fence, None);
        }
        self.done.again |= self.view.horizon.is_some() && self.fits(1);
    }

    /// Lets one in that waits, and tells its client, who has a while to fetch it.
    pub(super) fn grant(&mut self, id: Uuid, fence: i64, item: Option<Uuid>) {
        let now = self.now;
        if let Some(lease) = self.leases.get_mut(&id) {
            (lease.standing, lease.turn, lease.claimed) = (Standing::Held, fence, false);
            (lease.since, lease.until, lease.item) = (now, now + limits::CLAIM, item);
            self.done.granted += u64::from(lease.line != PUTS);
        }
        self.done.leases.insert(id);
        self.done.woken.insert(id);
    }

    /// Who stands first in this line, and lives, as far as one can see.
    pub(super) fn first_in(&self, line: &str) -> Option<Uuid> {
        let horizon = match line {
            "" => self.view.horizon,
            PUTS => self.view.puts_horizon,
            _ => None,
        };
        let in_sight = |lease: &&Lease| horizon.is_none_or(|last| lease.turn <= last);
        let waiting = self.leases.values().filter(|lease| lease.waits_in(line)).filter(in_sight);
        waiting.min_by_key(|lease| lease.turn).map(|lease| lease.id)
    }

    /// Takes a share at once, in its client's hands.
    fn enter(&mut self, id: Uuid, terms: &Terms, fence: i64, asker: Asker) -> Reply {
        let left = Millis::from(terms.ttl_ms);
        self.done.granted += 1;
        let alarm = self.leases.get(&id).and_then(|lease| lease.alarm); // of a wait whose owner holds the lock already
        let lease = self.lease(id, Standing::Held, fence, left, terms.clone());
        self.put(Lease { claimed: true, asker: Some(asker.id), alarm, ..lease });
        Reply::Held(Grant { fence, left })
    }

    pub(super) fn end(&mut self, id: Uuid, standing: Standing) {
        let now = self.now;
        if let Some(lease) = self.leases.get_mut(&id) {
            if standing == Standing::Lost && lease.is_held() {
                let count = if lease.claimed { &mut self.done.lost } else { &mut self.done.unclaimed };
                *count += 1;
            }
            (lease.standing, lease.since, lease.until) = (standing, now, now + limits::REMEMBERED);
            self.done.leases.insert(id);
            // who gives up is told of the notify, and it is theirs; who vanishes leaves it to the next
            if standing == Standing::Lost
                && let Some(line) = lease.notified.take()
            {
                let place = lease.turn;
                self.notify_next(&line, place);
            }
        }
    }

    /// The lease of this id, unless it is to be forgotten.
    pub(super) fn known(&self, id: Uuid) -> Option<&Lease> {
        self.leases.get(&id).filter(|lease| !lease.is_forgotten(self.now))
    }

    /// One that begins now, and of which its client has not heard.
    pub(super) fn lease(&self, id: Uuid, standing: Standing, turn: i64, lasts: Millis, terms: Terms) -> Lease {
        let (since, until) = (self.now, self.now + lasts);
        Lease {
            id,
            standing,
            line: String::new(),
            turn,
            until,
            since,
            claimed: false,
            terms,
            item: None,
            asker: None,
            notified: None,
            alarm: None,
        }
    }

    pub(super) fn put(&mut self, lease: Lease) {
        self.done.leases.insert(lease.id);
        self.leases.insert(lease.id, lease);
    }

    /// The fence and the number of holds, where this owner holds it and may hold it again.
    fn held_by(&self, terms: &Terms) -> Option<(i64, usize)> {
        let mine = |lease: &&Lease| {
            self.kind == Kind::Lock
                && terms.reentrant
                && lease.is_held()
                && lease.terms.reentrant
                && lease.terms.owner == terms.owner
                && lease.terms.secret == terms.secret
        };
        let first = self.leases.values().find(mine)?;
        Some((first.turn, self.leases.values().filter(mine).count()))
    }

    /// How many permits there are; a lock has one.
    fn capacity(&self) -> Option<i32> {
        if self.kind == Kind::Lock { Some(1) } else { self.settings.capacity }
    }

    /// Whether so many permits are free. All holds of one fence count once.
    fn fits(&self, permits: i32) -> bool {
        let held = self.leases.values().filter(|lease| lease.is_held());
        let by_fence: BTreeMap<i64, i32> = held.map(|lease| (lease.turn, lease.terms.permits)).collect();
        let used: i64 = self.view.held + by_fence.values().map(|permits| i64::from(*permits)).sum::<i64>();
        self.capacity().is_some_and(|capacity| used + i64::from(permits) <= i64::from(capacity))
    }

    /// How many wait in the object's own line.
    pub(super) fn waiting(&self) -> i64 {
        let in_sight = self.leases.values().filter(|lease| lease.waits_in("")).count();
        self.view.waiting + i64::try_from(in_sight).unwrap_or(i64::MAX)
    }

    /// Whether as many wait as may, in all lines together.
    pub(super) fn is_crowded(&self) -> bool {
        let in_sight = self.leases.values().filter(|lease| lease.standing == Standing::Waiting).count();
        self.view.waiting + self.view.beside + i64::try_from(in_sight).unwrap_or(i64::MAX) >= limits::WAITERS_MAX
    }

    fn next_end(&self) -> Option<Millis> {
        let ends = self.leases.values().filter(|lease| lease.is_held()).map(|lease| lease.until - self.now);
        ends.min()
    }

    /// A number greater than all that were given before; none where this step has given out all it may.
    pub(super) fn take_turn(&mut self) -> Option<i64> {
        let (next, last) = self.turns;
        if next > last {
            self.done.again = true;
            return None;
        }
        self.turns.0 = next + 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests;
