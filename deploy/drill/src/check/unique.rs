//! I18: unique tasks. When each was accepted is known to lie between its first request and the answer; so one is newer than
//! another where that is certain, and may be where the two overlap.

use std::collections::{BTreeMap, HashMap};

use caraway_testkit::Execution;
use uuid::Uuid;

use super::{Findings, Invariant};
use crate::history::{Entry, History, Row};

/// An accepted task of a key.
struct Member<'a> {
    id: Uuid,
    row: &'a Row,
    sent_ms: u64,
    /// When it was accepted at the latest; the end of time where nobody was told.
    by_ms: u64,
}

impl Member<'_> {
    fn is_surely_older_than(&self, other: &Self) -> bool {
        self.by_ms < other.sent_ms
    }
}

pub(super) fn unique(history: &History, found: &mut Findings) {
    let rows: HashMap<&str, (Uuid, &Row)> =
        history.rows.iter().filter_map(|(id, row)| Some((row.key.as_deref()?, (*id, row)))).collect();
    let mut keys: BTreeMap<u32, Vec<Member<'_>>> = BTreeMap::new();
    for entry in &history.entries {
        if let (Some(key), Some((id, row))) = (entry.kind.unique(), rows.get(entry.key.as_str())) {
            keys.entry(key).or_default().push(member(entry, *id, row));
        }
    }
    for (key, members) in &keys {
        newest(*key, members, found);
        gave_way(*key, members, found);
        alone(*key, members, history, found);
    }
}

fn member<'a>(entry: &Entry, id: Uuid, row: &'a Row) -> Member<'a> {
    Member { id, row, sent_ms: entry.sent_ms, by_ms: entry.accepted_ms.unwrap_or(u64::MAX) }
}

/// One of those that may be the newest has run.
fn newest(key: u32, members: &[Member<'_>], found: &mut Findings) {
    let is_newest = |one: &&Member<'_>| !members.iter().any(|other| one.is_surely_older_than(other));
    let newest: Vec<&Member<'_>> = members.iter().filter(is_newest).collect();
    if newest.iter().all(|one| one.row.state == "cancelled") {
        for one in newest {
            found.add(Invariant::I18, one.id, format!("the newest of the unique key {key} never ran: it is cancelled"));
        }
    }
}

/// What was cancelled has somebody who may be newer.
fn gave_way(key: u32, members: &[Member<'_>], found: &mut Findings) {
    for one in members.iter().filter(|one| one.row.state == "cancelled") {
        if !members.iter().any(|other| other.id != one.id && !other.is_surely_older_than(one)) {
            found.add(Invariant::I18, one.id, format!("of the unique key {key}, and cancelled without a newer one"));
        }
    }
}

/// The runs that were recorded do not overlap.
fn alone(key: u32, members: &[Member<'_>], history: &History, found: &mut Findings) {
    let recorded = |one: &Member<'_>| {
        let runs = history.ledger.get(&one.id).map_or(&[][..], Vec::as_slice);
        let last = runs.iter().find(|run| run.epoch == one.row.epoch && run.end_ms.is_some());
        last.filter(|_| one.row.state == "succeeded").map(|run| (one.id, *run))
    };
    let mut runs: Vec<(Uuid, Execution)> = members.iter().filter_map(recorded).collect();
    runs.sort_by_key(|(_, run)| run.start_ms);
    for (one, other) in runs.iter().zip(runs.iter().skip(1)) {
        if one.1.overlaps(&other.1) {
            found.add(Invariant::I18, one.0, format!("it ran beside {}, of the same unique key {key}", other.0));
        }
    }
}
