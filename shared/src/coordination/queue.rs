//! A work queue: items in an order, each fetched under a lease by one at a time, so that what a consumer drops comes back to its
//! old place. Consumers wait in the object's own line, producers of a full queue in one beside it.
//!
//! Invariants: an item that was accepted is ready, delayed, leased, done or dead, and never gone before it is done or dead; it is
//! leased by exactly one live lease; ready items, and places promised to producers, never exceed the capacity at a put; an
//! item that comes back keeps its place.
//!
//! The file is long because all operations on the items of a queue stand beside each other: they share its invariants.

use std::cmp::Ordering;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    Lease, Standing, Terms,
    item::{Fetched, Get, Item, ItemState, Order, PUTS, Put, put_ticket},
    limits,
    object::{Millis, Object},
    op::{Grant, Reply, Share},
};

impl Object {
    pub(super) fn put_item(&mut self, put: &Put) -> Reply {
        if !self.settings.configured {
            return Reply::NotConfigured;
        }
        let digest = put.digest();
        if let Some(item) = self.items.get(&put.id) {
            let same = item.digest.as_ref().is_none_or(|known| *known == digest);
            return if same { Reply::Accepted { known: true } } else { Reply::Reused };
        }
        if self.settings.flag {
            return Reply::ShutDown;
        }
        let ticket = put_ticket(put.id);
        let other = |lease: &Lease| lease.terms.secret.as_ref().is_some_and(|known| *known != digest);
        let place = self.known(ticket).map(|lease| (lease.standing, lease.turn, lease.claimed, other(lease)));
        match place {
            // what its client has to show is what it puts in
            Some((.., true)) => return Reply::Reused,
            // the turn of its grant: however late its client comes, it is before those that were granted later
            Some((Standing::Held, turn, ..)) => {
                self.end(ticket, Standing::Released);
                return self.take_in(put, turn);
            }
            Some((Standing::Waiting, ..)) => return self.repeated(ticket, put.asker),
            Some((Standing::Released, _, true, _)) => return Reply::Lost, // withdrawn
            // a ticket that has run out is no reason to refuse: it starts again
            Some((Standing::Released | Standing::Lost, ..)) | None => (),
        }
        let is_first = self.view.puts_horizon.is_none() && self.first_in(PUTS).is_none();
        if is_first && self.has_room() {
            let Some(turn) = self.take_turn() else { return Reply::TooManyWaiters };
            return self.take_in(put, turn);
        }
        if put.asker.wait == 0 {
            return Reply::Full;
        }
        self.queue_up(ticket, PUTS, Terms { secret: Some(digest), ..Terms::default() }, put.asker)
    }

    /// What is left out stays. The order of what is in the queue already stays too: it would leave in an order that nobody asked for.
    #[expect(clippy::option_option, reason = "a capacity is left out, taken away or given")]
    pub(super) fn configure(
        &mut self,
        capacity: Option<Option<i32>>,
        order: Option<Order>,
        attempts_max: Option<i32>,
    ) -> Reply {
        let order = order.unwrap_or(self.settings.order);
        if order != self.settings.order && self.is_open() {
            return Reply::NotEmpty;
        }
        let settings = &mut self.settings;
        (settings.configured, settings.order) = (true, order);
        settings.capacity = capacity.unwrap_or(settings.capacity);
        settings.attempts_max = attempts_max.unwrap_or(settings.attempts_max);
        self.done.settings = true;
        Reply::Done(self.settings.clone())
    }

    /// Gives up a producer's place, or the room that it was promised. The tombstone refuses a request that is still on its way.
    pub(super) fn withdraw(&mut self, item: Uuid) -> Reply {
        if !self.settings.configured {
            return Reply::NotConfigured;
        }
        if self.items.contains_key(&item) {
            return Reply::AlreadyIn;
        }
        let ticket = put_ticket(item);
        if self.known(ticket).is_some_and(Lease::is_live) {
            self.end(ticket, Standing::Released);
        } else {
            self.put(self.lease(ticket, Standing::Released, 0, limits::REMEMBERED, Terms::default()));
        }
        self.mark(ticket, true);
        Reply::Released
    }

    /// Dead items come back to their old places, as if they had never been fetched. A halted queue would drop them.
    pub(super) fn put_back(&mut self, items: &[Uuid]) -> Reply {
        if self.settings.halted {
            return Reply::ShutDown;
        }
        let mut count = 0;
        for id in items {
            if let Some(item) = self.items.get_mut(id).filter(|item| item.state == ItemState::Dead) {
                (item.state, item.until, item.attempt) = (ItemState::Ready, 0, 0);
                self.done.items.insert(*id);
                count += 1;
            }
        }
        Reply::PutBack(count)
    }

    /// An item of whose fetch its client has not heard: as it was before.
    pub(super) fn unfetch(&mut self, id: Uuid, was_counted: bool) {
        let Some(item) = self.items.get_mut(&id) else { return };
        if matches!(item.state, ItemState::Leased | ItemState::Taken) {
            (item.state, item.until) = (ItemState::Ready, 0);
            item.attempt -= i32::from(was_counted);
            self.done.items.insert(id);
        }
    }

    pub(super) fn get_item(&mut self, get: &Get) -> Reply {
        if !self.settings.configured {
            return Reply::NotConfigured;
        }
        if let Some(lease) = self.known(get.id) {
            if lease.terms.secret != get.terms.secret {
                return Reply::WrongSecret;
            }
            if let Some(taken) = self.taken_before(lease) {
                return taken;
            }
            let item = lease.item.filter(|_| lease.is_held());
            if lease.standing == Standing::Released && lease.item.is_none() && self.has_nothing_for(&get.terms) {
                return Reply::ShutDown;
            }
            return match item {
                Some(item) => self.fetch(get, item),
                None => self.repeated(get.id, get.asker),
            };
        }
        if self.has_nothing_for(&get.terms) {
            return Reply::ShutDown;
        }
        if self.waiting() == 0
            && let Some(item) = self.first_ready()
            && let Some(fence) = self.take_turn()
        {
            self.hand_over(item);
            self.done.granted += 1;
            let lease = self.lease(get.id, Standing::Held, fence, limits::CLAIM, get.terms.clone());
            self.put(Lease { item: Some(item), ..lease });
            return self.fetch(get, item);
        }
        if get.asker.wait == 0 {
            return Reply::Empty;
        }
        self.queue_up(get.id, "", get.terms.clone(), get.asker)
    }

    /// The answer that a fetch which was done with at once has got before: it may have been lost on its way.
    fn taken_before(&self, lease: &Lease) -> Option<Reply> {
        let item = self.items.get(&lease.item?).filter(|item| item.state == ItemState::Taken)?;
        let is_its_own = lease.standing == Standing::Released && lease.claimed;
        let grant = Grant { fence: lease.turn, left: 0 };
        let fetched = Fetched { grant, item: item.id, attempt: item.attempt, payload: Bytes::new() };
        is_its_own.then_some(Reply::Fetched(fetched))
    }

    /// Task done. What was given back before is not done; and an item that was granted to a waiter who has not heard of it, and
    /// gives its place up, goes to the next.
    pub(super) fn finish(&mut self, share: &Share) -> Reply {
        match self.leases.get(&share.id).map(|lease| (lease.standing, lease.claimed, lease.item)) {
            Some((Standing::Released, false, Some(_))) => Reply::Lost,
            Some((Standing::Held, false, Some(item))) => {
                let reply = self.release(share);
                if reply == Reply::Released {
                    self.forget_item(share.id);
                    self.change_item(item, ItemState::Ready, 0);
                }
                reply
            }
            Some((Standing::Held, true, Some(item))) => {
                let reply = self.release(share);
                if reply == Reply::Released {
                    self.mark(share.id, true);
                    self.close_item(item, ItemState::Done);
                }
                reply
            }
            _ => self.release(share),
        }
    }

    /// Gives an item back, to its old place; gives a place in the line up, whatever has become of it meanwhile.
    pub(super) fn give_back(&mut self, share: &Share, delay: Millis) -> Reply {
        match self.leases.get(&share.id).map(|lease| (lease.standing, lease.claimed, lease.item)) {
            Some((Standing::Released, true, Some(_))) => Reply::Lost,
            Some((Standing::Held, true, Some(item))) => {
                let reply = self.release(share);
                if reply == Reply::Released {
                    self.mark(share.id, false);
                    self.come_back(item, delay);
                }
                reply
            }
            Some((Standing::Held, false, Some(_))) => self.finish(share), // which gives it up
            _ => self.release(share),
        }
    }

    /// What time has brought to a queue, after leases have ended.
    pub(super) fn pass_items(&mut self, ended: &[Uuid]) {
        for id in ended {
            let Some((item, claimed)) = self.leases.get(id).and_then(|lease| Some((lease.item?, lease.claimed))) else {
                continue;
            };
            if claimed { self.come_back(item, 0) } else { self.change_item(item, ItemState::Ready, 0) }
        }
        let due = |item: &&Item| item.state == ItemState::Delayed && item.until <= self.now;
        for item in self.items.values().filter(due).map(|item| item.id).collect::<Vec<_>>() {
            self.change_item(item, ItemState::Ready, 0);
        }
        if self.settings.halted {
            self.done.again |= self.drop_items() >= limits::PURGED_MAX;
        }
        while let Some(first) = self.first_in("")
            && let Some(item) = self.first_ready()
        {
            let Some(fence) = self.take_turn() else { return };
            self.hand_over(item);
            self.grant(first, fence, Some(item));
        }
        while !self.settings.flag
            && let Some(first) = self.first_in(PUTS)
            && self.has_room()
        {
            let Some(fence) = self.take_turn() else { return };
            self.grant(first, fence, None);
        }
        if self.settings.flag {
            self.send_home();
        }
        self.done.again |= self.view.puts_horizon.is_some() && self.first_in(PUTS).is_none() && self.has_room();
    }

    /// Closes it to producers and consumers; what nobody has goes with the time that passes next.
    pub(super) fn halt(&mut self) -> Reply {
        (self.settings.flag, self.settings.halted, self.done.settings) = (true, true, true);
        Reply::Done(self.settings.clone())
    }

    /// Removes items that nobody has, whether they are ready or delayed.
    pub(super) fn purge(&mut self) -> Reply {
        if self.settings.configured { Reply::Purged(self.drop_items()) } else { Reply::NotConfigured }
    }

    /// Items that nobody has are done with; how many there were, of those that are in sight.
    fn drop_items(&mut self) -> i32 {
        let idle = |item: &&Item| matches!(item.state, ItemState::Ready | ItemState::Delayed);
        let most = usize::try_from(limits::PURGED_MAX).unwrap_or(0);
        let idle: Vec<Uuid> = self.items.values().filter(idle).map(|item| item.id).take(most).collect();
        for id in &idle {
            self.change_item(*id, ItemState::Done, self.now + limits::REMEMBERED);
        }
        if !idle.is_empty() {
            self.note_end();
        }
        i32::try_from(idle.len()).unwrap_or(i32::MAX)
    }

    /// Whether a consumer with these terms has nothing to wait for, because the queue is shut down.
    fn has_nothing_for(&self, terms: &Terms) -> bool {
        let over = self.settings.halted || !self.is_open();
        let is_next = || self.waiting() == 0 && self.first_ready().is_some();
        self.settings.flag && (over || (terms.leaves_empty && !is_next()))
    }

    /// A queue that takes no more has nothing for producers, and for consumers only while something is open; for those who do not
    /// wait for what comes back, only while something is ready.
    fn send_home(&mut self) {
        let goes_on = self.is_open() && !self.settings.halted;
        let leaves = |lease: &&Lease| lease.waits_in("") && lease.terms.leaves_empty;
        for id in self.leases.values().filter(leaves).map(|lease| lease.id).collect::<Vec<_>>() {
            if self.first_ready().is_none() {
                self.end(id, Standing::Released);
                self.done.woken.insert(id);
            }
        }
        let lines: &[&str] = if goes_on { &[PUTS] } else { &[PUTS, ""] };
        for line in lines {
            while let Some(id) = self.first_in(line) {
                self.end(id, Standing::Released);
                self.done.woken.insert(id);
            }
        }
        self.done.again |= !goes_on && self.view.horizon.is_some();
    }

    fn take_in(&mut self, put: &Put, turn: i64) -> Reply {
        let (state, until) =
            if put.delay > 0 { (ItemState::Delayed, self.now + put.delay) } else { (ItemState::Ready, 0) };
        // there is one zero only, as in the database
        let priority = if self.settings.order == Order::Priority { put.priority + 0.0 } else { 0.0 };
        let (payload, digest) = (Some(put.payload.clone()), Some(put.digest()));
        self.items.insert(put.id, Item { id: put.id, state, priority, turn, until, attempt: 0, payload, digest });
        self.done.items.insert(put.id);
        Reply::Accepted { known: false }
    }

    /// In its client's hands: now it counts as fetched.
    fn fetch(&mut self, get: &Get, id: Uuid) -> Reply {
        let first = self.leases.get(&get.id).is_some_and(|lease| !lease.claimed);
        let Reply::Held(grant) = self.repeated(get.id, get.asker) else { return Reply::Lost };
        let Some(item) = self.items.get_mut(&id) else { return Reply::Lost };
        if first {
            item.attempt += 1;
            self.done.items.insert(id);
        }
        let attempt = item.attempt;
        if get.auto {
            self.end(get.id, Standing::Released);
            self.mark(get.id, true);
            self.close_item(id, ItemState::Taken);
        }
        Reply::Fetched(Fetched { grant, item: id, attempt, payload: Bytes::new() })
    }

    /// An attempt is over without success.
    fn come_back(&mut self, id: Uuid, delay: Millis) {
        let over = self.items.get(&id).is_some_and(|item| item.attempt >= self.settings.attempts_max);
        if over {
            self.close_item(id, ItemState::Dead);
        } else if delay > 0 {
            self.change_item(id, ItemState::Delayed, self.now + delay);
        } else {
            self.change_item(id, ItemState::Ready, 0);
        }
    }

    fn hand_over(&mut self, id: Uuid) {
        self.change_item(id, ItemState::Leased, 0);
    }

    fn close_item(&mut self, id: Uuid, state: ItemState) {
        let kept = if state == ItemState::Dead { limits::DEAD_KEPT } else { limits::REMEMBERED };
        self.change_item(id, state, self.now + kept);
        self.note_end();
    }

    /// Tells those who wait for everything to be done, where it is.
    fn note_end(&mut self) {
        if !self.is_open() {
            self.settings.generation += 1;
            (self.done.settings, self.done.stirred) = (true, true);
        }
    }

    fn change_item(&mut self, id: Uuid, state: ItemState, until: Millis) {
        if let Some(item) = self.items.get_mut(&id) {
            (item.state, item.until) = (state, until);
            self.done.items.insert(id);
        }
    }

    /// Of a lease that has been given back: whether its item is done.
    fn mark(&mut self, id: Uuid, is_done: bool) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.claimed = is_done;
        }
    }

    /// Of a lease that has been given up: it never had one.
    fn forget_item(&mut self, id: Uuid) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.item = None;
        }
    }

    /// Which item leaves next, as far as one can see.
    fn first_ready(&self) -> Option<Uuid> {
        let order = self.settings.order;
        let in_sight = |item: &&Item| {
            let at = (item.priority, item.turn);
            self.unseen.horizon.is_none_or(|last| Item::before(order, at, last) != Ordering::Greater)
        };
        let ready = self.items.values().filter(|item| item.state == ItemState::Ready).filter(in_sight);
        ready.min_by(|a, b| Item::before(order, (a.priority, a.turn), (b.priority, b.turn))).map(|item| item.id)
    }

    /// Priorities and places of the ready items that are in sight, the first one first.
    pub fn in_order(&self) -> Vec<(f64, i64)> {
        let ready = self.items.values().filter(|item| item.state == ItemState::Ready);
        let mut in_order: Vec<(f64, i64)> = ready.map(|item| (item.priority, item.turn)).collect();
        in_order.sort_by(|a, b| Item::before(self.settings.order, *a, *b));
        in_order
    }

    fn has_room(&self) -> bool {
        let Some(capacity) = self.settings.capacity else { return true };
        let ready = self.items.values().filter(|item| item.state == ItemState::Ready).count();
        let promised = self.leases.values().filter(|lease| lease.is_held() && lease.line == PUTS).count();
        let here = i64::try_from(ready + promised).unwrap_or(i64::MAX);
        here + self.unseen.ready + self.unseen.promised < i64::from(capacity)
    }

    /// Whether something is not done.
    fn is_open(&self) -> bool {
        self.unseen.open || self.items.values().any(Item::is_open)
    }
}
