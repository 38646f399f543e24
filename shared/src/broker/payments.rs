//! Payments: which rows of the outbox are paid, as the broker confirms message after message, and what of them is parked
//! because it did not take it.
//!
//! Invariants: a row is removed only when every pointer of it that was offered is confirmed; a row of which a part was
//! confirmed or refused loses that part, so that what the broker refuses does not bring its neighbours back for ever.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::task::JoinHandle;

use crate::{
    store::{
        Store,
        tasks::{Debt, Owed},
    },
    task::{Class, Pointer, QueueName, TaskId},
    telemetry::names,
};

/// Rows in one statement.
const ROWS_MAX: usize = 1000;
/// Messages whose payment may wait for a slow database; what is beyond stays owed and is published once more.
const UNPAID_MAX: usize = 10_000;
/// Pointers of a queue that may wait to be parked; what is beyond stays owed, and is refused once more.
const REFUSED_MAX: usize = 100_000;
/// Pointers in one parked row, as in any other.
const PARKED_MAX: usize = 1000;

/// A pointer to publish, and the row that it is a part of.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) pointer: Pointer,
    row: Arc<OutboxRow>,
}

type Key = (QueueName, Class);

#[derive(Debug)]
struct OutboxRow {
    debt: Debt,
    /// It was put aside before, for this queue.
    parked: Option<Key>,
    /// Pointers that are not confirmed yet.
    left: AtomicUsize,
}

impl Part {
    /// The parts of an offer, which holds whole rows.
    pub(super) fn of(offered: Vec<Owed>) -> impl Iterator<Item = (Owed, Self)> {
        let mut rows: HashMap<Debt, Arc<OutboxRow>> = HashMap::new();
        for owed in &offered {
            let row = || {
                let parked = owed.parked.then(|| (owed.queue.clone(), owed.class));
                Arc::new(OutboxRow { debt: owed.debt, parked, left: AtomicUsize::new(0) })
            };
            rows.entry(owed.debt).or_insert_with(row).left.fetch_add(1, Ordering::Relaxed);
        }
        offered.into_iter().filter_map(move |owed| {
            let part = Self { pointer: owed.pointer, row: Arc::clone(rows.get(&owed.debt)?) };
            Some((owed, part))
        })
    }
}

/// What was confirmed or refused and is not yet written.
#[derive(Default)]
pub(super) struct Payments {
    confirmed: HashMap<u64, Vec<Part>>,
    refused: HashMap<Key, Vec<Part>>,
    /// A statement under way; the next one waits for it.
    writing: Option<JoinHandle<()>>,
}

impl Payments {
    /// The broker has this message.
    pub(super) fn confirmed(&mut self, message: u64, parts: Vec<Part>) {
        if self.confirmed.len() < UNPAID_MAX {
            self.confirmed.insert(message, parts);
        }
    }

    /// The broker does not take this message: its queue is refused, or full.
    pub(super) fn refused(&mut self, key: Key, parts: Vec<Part>) {
        let refused = self.refused.entry(key).or_default();
        if refused.len() < REFUSED_MAX {
            refused.extend(parts);
        }
    }

    /// The broker could not route this message after all; whether it was thought to have it.
    pub(super) fn forget(&mut self, message: u64) -> bool {
        self.confirmed.remove(&message).is_some()
    }

    /// It could not route a message, and nobody knows which.
    pub(super) fn forget_all(&mut self) {
        self.confirmed.clear();
    }

    /// Writes what there is, unless that is being done.
    pub(super) fn write(&mut self, store: &Store) {
        let nothing = self.confirmed.is_empty() && self.refused.is_empty();
        if nothing || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let refused = std::mem::take(&mut self.refused);
        let confirmed: Vec<Part> = self.confirmed.drain().flat_map(|(_, parts)| parts).collect();
        let lifted = lifted(&confirmed, &refused);
        let parked = refused.into_iter().map(|(key, parts)| (key, to_park(parts))).collect();
        let (paid, parts) = settle(confirmed.into_iter());
        self.writing = Some(tokio::spawn(write(store.clone(), Words { paid, parts, parked, lifted })));
    }
}

/// Parked queues of which the broker took something, and refused nothing.
fn lifted(confirmed: &[Part], refused: &HashMap<Key, Vec<Part>>) -> HashSet<Key> {
    let keys = confirmed.iter().filter_map(|part| part.row.parked.as_ref());
    keys.filter(|key| !refused.contains_key(key)).cloned().collect()
}

/// What of these is not parked yet.
fn to_park(parts: Vec<Part>) -> Vec<(Debt, TaskId)> {
    let plain = parts.into_iter().filter(|part| part.row.parked.is_none());
    let mut plain: Vec<_> = plain.map(|part| (part.row.debt, part.pointer.id)).collect();
    plain.sort_unstable_by_key(|(debt, _)| debt.0);
    plain
}

/// The rows that are paid, and the confirmed parts of others.
fn settle(parts: impl Iterator<Item = Part>) -> (Vec<Debt>, Vec<(Debt, TaskId)>) {
    let mut rows: HashMap<Debt, (Arc<OutboxRow>, Vec<TaskId>)> = HashMap::new();
    for part in parts {
        let row = rows.entry(part.row.debt).or_insert_with(|| (Arc::clone(&part.row), Vec::new()));
        row.1.push(part.pointer.id);
        part.row.left.fetch_sub(1, Ordering::Relaxed);
    }
    let (mut paid, mut partly) = (Vec::new(), Vec::new());
    for (debt, (row, ids)) in rows {
        if row.left.load(Ordering::Relaxed) == 0 {
            paid.push(debt);
        } else {
            partly.extend(ids.into_iter().map(|id| (debt, id)));
        }
    }
    (paid, partly)
}

/// What is written at a time.
struct Words {
    paid: Vec<Debt>,
    parts: Vec<(Debt, TaskId)>,
    parked: Vec<(Key, Vec<(Debt, TaskId)>)>,
    lifted: HashSet<Key>,
}

async fn write(store: Store, words: Words) {
    let lost =
        |error: &dyn std::fmt::Display| tracing::debug!(%error, "payments are lost; the relay publishes once more");
    for some in words.paid.chunks(ROWS_MAX) {
        if let Err(error) = store.pay(some).await {
            lost(&error);
        }
    }
    if !words.parts.is_empty()
        && let Err(error) = store.pay_parts(&words.parts).await
    {
        lost(&error);
    }
    for ((queue, class), parts) in &words.parked {
        for some in parts.chunks(PARKED_MAX) {
            match store.park(queue, *class, some).await {
                Ok(()) => metrics::counter!(names::PARKED).increment(u64::try_from(some.len()).unwrap_or(0)),
                Err(error) => lost(&error),
            }
        }
    }
    for (queue, class) in &words.lifted {
        if let Err(error) = store.lift_parked(queue, *class).await {
            lost(&error);
        }
    }
    fail::fail_point!("publisher.marked", |_| std::process::abort());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Class, Epoch};

    fn owed(debt: i64) -> Owed {
        let pointer = Pointer { id: TaskId(uuid::Uuid::now_v7()), epoch: Epoch(0) };
        let (name, queue) = ("echo".parse().unwrap(), "default".parse().unwrap());
        Owed { debt: Debt(debt), pointer, name, queue, class: Class::Normal, alone: false, parked: false }
    }

    #[test]
    fn what_is_refused_is_parked_once_and_a_queue_that_takes_all_is_tried_at_once() {
        let key = || ("default".parse().unwrap(), Class::Normal);
        let offered = vec![owed(2), owed(1), Owed { parked: true, ..owed(3) }, Owed { parked: true, ..owed(4) }];
        let parts: Vec<Part> = Part::of(offered).map(|(_, part)| part).collect();
        let [second, first, parked, other] = parts.try_into().unwrap();
        let ids = [first.pointer.id, second.pointer.id];
        let wanted = vec![(Debt(1), ids[0]), (Debt(2), ids[1])];
        assert_eq!(to_park(vec![second.clone(), first, parked]), wanted, "what is parked already is not written again");
        assert_eq!(lifted(&[second, other.clone()], &HashMap::new()), HashSet::from([key()]));
        assert_eq!(lifted(&[other], &HashMap::from([(key(), Vec::new())])), HashSet::new());
    }

    #[test]
    fn a_row_is_paid_when_all_of_it_is_confirmed() {
        let parts: Vec<Part> = Part::of(vec![owed(1), owed(2), owed(1)]).map(|(_, part)| part).collect();
        let [first, second, third] = parts.try_into().unwrap();
        let id = first.pointer.id;
        assert_eq!(settle([first].into_iter()), (vec![], vec![(Debt(1), id)]));
        assert_eq!(settle([second, third].into_iter()).0.len(), 2);
    }
}
