//! What is offered together becomes messages: which pointers travel in one, and in which order they leave.
//!
//! Invariants: a message is for one queue and class, because each of these is a broker queue; the more urgent class leaves
//! first, whatever was offered first; a suspect travels alone.

use std::collections::BTreeMap;

use super::payments::Part;
use crate::{
    store::tasks::Owed,
    task::{Class, QueueName},
};

/// Sorts what is offered into messages of at most `bundle_max` pointers, as its queue allows.
pub(super) fn messages(
    offered: impl Iterator<Item = (Owed, Part)>,
    bundle_max: impl Fn(&QueueName) -> usize,
) -> Vec<((QueueName, Class), Vec<Part>)> {
    let mut groups: BTreeMap<(Class, QueueName), (Vec<Part>, Vec<Part>)> = BTreeMap::new();
    for (owed, part) in offered {
        let (together, alone) = groups.entry((owed.class, owed.queue)).or_default();
        if owed.alone { alone.push(part) } else { together.push(part) }
    }
    let mut messages = Vec::new();
    for ((class, queue), (together, alone)) in groups {
        let bundles = together.chunks(bundle_max(&queue).max(1)).chain(alone.chunks(1));
        messages.extend(bundles.map(|bundle| ((queue.clone(), class), bundle.to_vec())));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::tasks::Debt,
        task::{Epoch, Pointer, TaskId},
    };

    fn owed(queue: &str, class: Class, alone: bool) -> Owed {
        let pointer = Pointer { id: TaskId::now(), epoch: Epoch(0) };
        Owed { debt: Debt(1), pointer, queue: queue.parse().unwrap(), class, alone }
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
        let made = messages(Part::of(offered), |_| 2);
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
}
