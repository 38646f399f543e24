//! A client that hung up before it heard what came of its request: what the request brought goes to others at once.
//!
//! Invariant: what the client knows of, or what another request has asked for since, is never touched; the lease's `asker` tells.

use uuid::Uuid;

use super::{Kind, Standing, item::ItemState, object::Object, op::Reply};

impl Object {
    /// A place in the line is free, a grant goes on, an item is ready again, as if it had not been asked for: the same id may ask
    /// again, and stands last. Only a wait on a condition cannot begin again by itself, because its lock is given back: its id is
    /// told that it is lost.
    pub(super) fn abandon(&mut self, id: Uuid, asker: Uuid) -> Reply {
        let Some(lease) = self.leases.get(&id).filter(|lease| lease.asker == Some(asker)) else {
            return Reply::Missing;
        };
        let (was_counted, item) = (lease.claimed, lease.item);
        let taken = item.and_then(|item| self.items.get(&item)).is_some_and(|item| item.state == ItemState::Taken);
        match lease.standing {
            Standing::Held if self.view.pinned.contains(&id) => return Reply::Pinned,
            Standing::Waiting if self.kind == Kind::Lock && !lease.line.is_empty() => self.end(id, Standing::Lost),
            Standing::Waiting | Standing::Held => self.forget(id),
            // done with as soon as it was fetched
            Standing::Released if was_counted && taken => self.forget(id),
            Standing::Released | Standing::Lost => return Reply::Missing,
        }
        if let Some(item) = item {
            self.unfetch(item, was_counted);
        }
        Reply::Released
    }

    /// As if there had never been such a lease.
    fn forget(&mut self, id: Uuid) {
        let now = self.now;
        let Some(lease) = self.leases.get_mut(&id) else { return };
        let (notified, place) = (lease.notified.take(), lease.turn);
        (lease.standing, lease.since, lease.until) = (Standing::Released, now, now);
        (lease.claimed, lease.item, lease.asker, lease.alarm) = (false, None, None, None);
        self.done.leases.insert(id);
        if let Some(line) = notified {
            self.notify_next(&line, place);
        }
    }
}
