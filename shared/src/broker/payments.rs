//! Payments: which rows of the outbox are paid, as the broker confirms message after message.
//!
//! Invariants: a row is removed only when every pointer of it that was offered is confirmed; a row of which a part was
//! confirmed loses that part, so that what the broker refuses does not bring its neighbours back for ever.

use std::{
    collections::HashMap,
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
    task::{Pointer, TaskId},
};

/// Rows in one statement.
const ROWS_MAX: usize = 1000;
/// Messages whose payment may wait for a slow database; what is beyond stays owed and is published once more.
const UNPAID_MAX: usize = 10_000;

/// A pointer to publish, and the row that it is a part of.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) pointer: Pointer,
    row: Arc<OutboxRow>,
}

#[derive(Debug)]
struct OutboxRow {
    debt: Debt,
    /// Pointers that are not confirmed yet.
    left: AtomicUsize,
}

impl Part {
    /// The parts of an offer, which holds whole rows.
    pub(super) fn of(offered: Vec<Owed>) -> impl Iterator<Item = (Owed, Self)> {
        let mut rows: HashMap<Debt, Arc<OutboxRow>> = HashMap::new();
        for owed in &offered {
            let row = || Arc::new(OutboxRow { debt: owed.debt, left: AtomicUsize::new(0) });
            rows.entry(owed.debt).or_insert_with(row).left.fetch_add(1, Ordering::Relaxed);
        }
        offered.into_iter().filter_map(move |owed| {
            let part = Self { pointer: owed.pointer, row: Arc::clone(rows.get(&owed.debt)?) };
            Some((owed, part))
        })
    }
}

/// What was confirmed and is not yet written.
#[derive(Default)]
pub(super) struct Payments {
    confirmed: HashMap<u64, Vec<Part>>,
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
        if self.confirmed.is_empty() || self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let (paid, parts) = settle(self.confirmed.drain().flat_map(|(_, parts)| parts));
        self.writing = Some(tokio::spawn(write(store.clone(), paid, parts)));
    }
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

async fn write(store: Store, paid: Vec<Debt>, partly: Vec<(Debt, TaskId)>) {
    let lost =
        |error: &dyn std::fmt::Display| tracing::debug!(%error, "payments are lost; the relay publishes once more");
    for some in paid.chunks(ROWS_MAX) {
        if let Err(error) = store.pay(some).await {
            lost(&error);
        }
    }
    if !partly.is_empty()
        && let Err(error) = store.pay_parts(&partly).await
    {
        lost(&error);
    }
    fail::fail_point!("publisher.marked", |_| std::process::abort());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Class, Epoch};

    fn owed(debt: i64) -> Owed {
        let pointer = Pointer { id: TaskId::now(), epoch: Epoch(0) };
        Owed { debt: Debt(debt), pointer, queue: "default".parse().unwrap(), class: Class::Normal, alone: false }
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
