//! What owners and operators may do to an object whatever its clients hold: break a lease, delete it all.

use super::{
    Standing,
    item::Unseen,
    limits,
    object::{Object, Settings, View},
    op::Reply,
};

impl Object {
    /// Ends all leases with this fence, of which a lock that is held several times has several. Their clients hear that they are
    /// lost, and who stands first in the line is let in.
    pub(super) fn break_open(&mut self, fence: i64) -> Reply {
        let held = self.leases.values().filter(|lease| lease.is_held() && lease.turn == fence);
        let held: Vec<_> = held.map(|lease| lease.id).collect();
        if held.is_empty() {
            return Reply::Missing;
        }
        if held.iter().any(|id| self.view.pinned.contains(id)) {
            return Reply::Pinned;
        }
        for id in held {
            self.end(id, Standing::Lost);
        }
        Reply::Released
    }

    /// Everybody who waits or holds hears that it is lost; tombstones stay, so that a late request is not granted by what is made
    /// under this name next.
    pub(super) fn delete(&mut self) -> Reply {
        if !self.view.pinned.is_empty() {
            return Reply::Pinned;
        }
        let live: Vec<_> = self.leases.values().filter(|lease| lease.is_live()).map(|lease| lease.id).collect();
        let Settings { configured, generation, flag, .. } = self.settings;
        if live.is_empty() && !configured && !flag && generation == 0 {
            return Reply::Missing;
        }
        for id in live {
            if let Some(lease) = self.leases.get_mut(&id) {
                lease.notified = None; // its condition goes too
            }
            self.end(id, Standing::Lost);
            self.done.woken.insert(id);
        }
        self.items.clear();
        self.done.items.clear();
        (self.unseen, self.view) = (Unseen::default(), View::default());
        self.settings = Settings { attempts_max: limits::ATTEMPTS_DEFAULT, ..Settings::default() };
        (self.done.settings, self.done.stirred, self.done.emptied) = (true, true, true);
        Reply::Done(self.settings.clone())
    }
}
