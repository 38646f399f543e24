//! What a step leaves for whoever writes it down and tells others: kept apart from the answer, which its client gets.
//! Invariant: whatever has changed in an object is named here, or it is never written.

use std::collections::BTreeSet;

use uuid::Uuid;

/// What steps have done, for whoever writes it down and tells others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Done {
    /// Leases to be written.
    pub leases: BTreeSet<Uuid>,
    /// Items to be written.
    pub items: BTreeSet<Uuid>,
    /// The settings are to be written.
    pub settings: bool,
    /// All items are to be removed, also those out of sight.
    pub emptied: bool,
    /// Leases whose clients wait and should look again.
    pub woken: BTreeSet<Uuid>,
    /// Those who wait for the object itself should look again.
    pub stirred: bool,
    /// There may be more to do than was in sight.
    pub again: bool,
    /// Leases that were granted, those that ran out, and grants that nobody fetched in time.
    pub granted: u64,
    /// The same.
    pub lost: u64,
    /// The same.
    pub unclaimed: u64,
}
