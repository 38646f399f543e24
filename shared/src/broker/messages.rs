//! What is offered together becomes messages: which pointers travel in one, and in which order they leave.
//!
//! Invariants: a message is for one queue and class, because each of these is a broker queue; the more urgent class leaves
//! first, whatever was offered first; a suspect travels alone; a message holds no more work than its queue's budget.

use std::{collections::BTreeMap, time::Duration};

use super::{payments::Part, spread::Known};
use crate::{
    store::tasks::Owed,
    task::{Bundle, Class, QueueName},
};

/// What is offered of one broker queue.
#[derive(Default)]
struct Group {
    together: Vec<(Duration, Part)>,
    alone: Vec<Part>,
}

/// Sorts what is offered into messages, as full as run times and free slots allow.
pub(super) fn messages(
    offered: impl Iterator<Item = (Owed, Part)>,
    known: &Known,
) -> Vec<((QueueName, Class), Vec<Part>)> {
    let mut groups: BTreeMap<(Class, QueueName), Group> = BTreeMap::new();
    for (owed, part) in offered {
        let work = known.work(&owed.queue, &owed.name);
        let group = groups.entry((owed.class, owed.queue)).or_default();
        match work.filter(|_| !owed.alone) {
            Some(work) => group.together.push((work, part)),
            None => group.alone.push(part),
        }
    }
    let mut messages = Vec::new();
    for ((class, queue), Group { together, alone }) in groups {
        let budget = known.budget(&queue, together.iter().map(|(work, _)| *work).sum());
        let bundles = fill(together, budget).into_iter().chain(alone.into_iter().map(|part| vec![part]));
        messages.extend(bundles.map(|bundle| ((queue.clone(), class), bundle)));
    }
    messages
}

/// Fills message after message, each up to its budget of work.
fn fill(parts: Vec<(Duration, Part)>, budget: Duration) -> Vec<Vec<Part>> {
    let mut bundles: Vec<Vec<Part>> = Vec::new();
    let mut left = Duration::ZERO;
    for (work, part) in parts {
        match bundles.last_mut() {
            Some(bundle) if work <= left && bundle.len() < Bundle::MAX => {
                bundle.push(part);
                left -= work;
            }
            _ => {
                bundles.push(vec![part]);
                left = budget.saturating_sub(work);
            }
        }
    }
    bundles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broker::spread::tests::known,
        store::tasks::Debt,
        task::{Epoch, Pointer, TaskId},
    };

    fn owed(queue: &str, class: Class, alone: bool) -> Owed {
        Owed { name: "fast".parse().unwrap(), queue: queue.parse().unwrap(), class, alone, ..named("fast") }
    }

    fn named(name: &str) -> Owed {
        let pointer = Pointer { id: TaskId(uuid::Uuid::now_v7()), epoch: Epoch(0) };
        let (name, queue) = (name.parse().unwrap(), "q".parse().unwrap());
        Owed { debt: Debt(1), pointer, name, queue, class: Class::Normal, alone: false, parked: false }
    }

    #[test]
    fn what_is_urgent_leaves_first_and_suspects_travel_alone() {
        let offered = vec![
            owed("a", Class::Low, false),
            owed("b", Class::High, true),
            owed("a", Class::Normal, false),
            owed("b", Class::High, false),
            owed("a", Class::High, false),
            owed("b", Class::High, true),
            owed("a", Class::Normal, false),
            owed("a", Class::Normal, false),
        ];
        let made = messages(Part::of(offered), &known(&[], &[("fast", 50.0)]));
        let made: Vec<_> = made.iter().map(|((queue, class), parts)| (*class, queue.as_str(), parts.len())).collect();
        let wanted = [
            (Class::High, "a", 1),
            (Class::High, "b", 1),
            (Class::High, "b", 1),
            (Class::High, "b", 1),
            (Class::Normal, "a", 2),
            (Class::Normal, "a", 1),
            (Class::Low, "a", 1),
        ];
        assert_eq!(made, wanted);
    }

    #[test]
    fn a_slow_task_takes_no_fast_ones_along_and_fast_ones_fill_a_message() {
        let sizes = |names: Vec<&str>, workers: &[(u32, u32)]| -> Vec<usize> {
            let known = known(workers, &[("fast", 0.01), ("slow", 10_000.0), ("cpu", 1.0)]);
            let offered = names.into_iter().map(named).collect();
            messages(Part::of(offered), &known).iter().map(|(_, parts)| parts.len()).collect()
        };
        assert_eq!(sizes(vec!["fast", "fast", "slow", "fast", "cpu", "fast", "unknown"], &[]), [2, 1, 2, 1, 1]);
        assert_eq!(sizes(vec!["fast"; 100], &[(64, 64); 4]), [64, 36]);
        assert_eq!(sizes(vec!["slow"; 64], &[(4, 4); 16]), [1; 64]);
        assert_eq!(sizes(vec!["slow"; 64], &[(1, 0); 16]), [1; 64]);
    }
}
