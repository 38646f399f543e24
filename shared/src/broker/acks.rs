//! Which acks to send for what is settled: one frame for everything up to the lowest tag below which all is settled,
//! single ones above it.
//!
//! Invariants: every tag is acked once; no ack covers a tag that is not settled (that would be silent loss); every ack
//! names a tag that is still open, for RabbitMQ closes the channel over one that is not, `multiple` or not.

use std::collections::BTreeSet;

/// An ack to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ack {
    /// The delivery tag.
    pub(super) tag: u64,
    /// Everything below it too.
    pub(super) multiple: bool,
}

/// The tags of one channel, which the broker counts from 1.
#[derive(Default)]
pub(super) struct Acks {
    /// Every tag up to this one is acked.
    low: u64,
    /// Acked singly, above a gap.
    above: BTreeSet<u64>,
}

impl Acks {
    /// Takes in what was settled since the last time.
    pub(super) fn settle(&mut self, settled: impl IntoIterator<Item = u64>) -> Vec<Ack> {
        let mut fresh: BTreeSet<u64> = settled.into_iter().collect();
        let mut last = None;
        loop {
            let next = self.low + 1;
            if fresh.remove(&next) {
                last = Some(next);
            } else if !self.above.remove(&next) {
                break;
            }
            self.low = next;
        }
        self.above.extend(&fresh);
        let below = last.map(|tag| Ack { tag, multiple: true });
        below.into_iter().chain(fresh.into_iter().map(|tag| Ack { tag, multiple: false })).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_acked_singly_is_never_named_again() {
        let mut acks = Acks::default();
        assert_eq!(acks.settle([5, 3]), [Ack { tag: 3, multiple: false }, Ack { tag: 5, multiple: false }]);
        assert_eq!(acks.settle([2, 1]), [Ack { tag: 2, multiple: true }]);
        assert_eq!(acks.settle([4]), [Ack { tag: 4, multiple: true }]);
        assert_eq!(acks.settle([6, 7, 9]), [Ack { tag: 7, multiple: true }, Ack { tag: 9, multiple: false }]);
    }

    proptest! {
        /// Plays RabbitMQ: an ack must name an open tag; `multiple` closes everything open up to it.
        #[test]
        fn the_broker_sees_each_settled_tag_acked_once_and_no_other(
            order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
            rounds in prop::collection::vec(1..8_usize, 60),
            upto in 0..60_usize,
        ) {
            let mut open: BTreeSet<u64> = (1..=60).collect();
            let mut settled: BTreeSet<u64> = BTreeSet::new();
            let mut acks = Acks::default();
            let mut rest = order.get(..upto).unwrap_or_default();
            for size in rounds {
                let (now, later) = rest.split_at(size.min(rest.len()));
                rest = later;
                settled.extend(now);
                for ack in acks.settle(now.iter().copied()) {
                    prop_assert!(open.contains(&ack.tag), "{ack:?} names a closed tag");
                    let closed: Vec<u64> = open.iter().copied().filter(|tag| *tag == ack.tag || (ack.multiple && *tag < ack.tag)).collect();
                    for tag in closed {
                        prop_assert!(settled.contains(&tag), "{ack:?} loses {tag}");
                        open.remove(&tag);
                    }
                }
            }
            prop_assert_eq!(open.len(), 60 - settled.len());
        }
    }
}
