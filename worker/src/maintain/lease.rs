//! Who reconciles: one worker of an installation, which has the reconcilers' lease, so that many idle workers cost the database
//! no more than one. The lease saves work and decides nothing: each step of a reconciler repeats its whole condition, and two that
//! hold the lease for a moment do no harm. It comes and goes with the beats.

use tokio::sync::watch;

use crate::config::Reconcile;

/// This process's side of the lease.
pub(crate) struct Lease {
    reconcile: Reconcile,
    held: watch::Sender<bool>,
}

impl Lease {
    /// Not held until the first beat says so.
    pub(crate) fn new(reconcile: Reconcile) -> Self {
        Self { reconcile, held: watch::Sender::new(reconcile == Reconcile::Always) }
    }

    /// What a beat has brought back.
    pub(crate) fn told(&self, held: bool) {
        let held = held || self.reconcile == Reconcile::Always;
        self.held.send_if_modified(|before| std::mem::replace(before, held) != held);
    }

    /// Whether it is held now.
    pub(crate) fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// For whom it is to be waited for elsewhere.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// Waits until it is held. Dropped in the middle, it has done nothing.
    pub(crate) async fn held(&self) {
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| *held).await; // ends with this only
    }
}
