//! What a step leaves for whoever writes it down and tells others: kept apart from the answer, which its client gets.
//! Invariant: whatever has changed in an object is named here, or it is never written.

use std::collections::BTreeSet;

use uuid::Uuid;

/// What steps have done, for whoever writes it down and tells others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own to do, and any of them may go together")]
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
    /// How many leases were granted.
    pub granted: u64,
    /// How many leases ran out.
    pub lost: u64,
    /// How many grants nobody fetched in time.
    pub unclaimed: u64,
}
