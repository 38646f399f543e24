//! What a lane holds and has no slot for yet, and what to do about it. Pure: time and the state of the slots come in.
//!
//! Invariants: the most urgent class is served first; a class that gets no slot for [`STARVED_MAX`] is given back to the
//! broker, which costs no write, and consumed again once there is room; a lane without a free slot for [`FULL_MAX`] gives
//! everything back, and where others have free slots does so after [`HELD_MAX`] already.

use std::{collections::VecDeque, time::Duration};

use caraway_shared::{
    broker::Settle,
    task::{Class, Pointer},
};
use tokio::time::Instant;

/// How long a full lane holds pointers that others could run at once. Longer than a message's work, or lanes would give
/// back what they are about to run.
const HELD_MAX: Duration = Duration::from_millis(150);
/// How long a lane without a free slot goes on consuming.
const FULL_MAX: Duration = Duration::from_secs(1);
/// How long a class holds pointers while more urgent ones take every slot.
const STARVED_MAX: Duration = Duration::from_secs(1);
/// How long any pointer is held, whatever becomes of those before it.
const OLD_MAX: Duration = Duration::from_secs(5);

/// A pointer that waits for a slot.
pub(crate) struct HeldPointer<S = Settle> {
    pub(crate) pointer: Pointer,
    pub(crate) settle: S,
    /// Its message holds others: given back to the broker it would come again with those that are claimed.
    pub(crate) has_neighbours: bool,
    pub(crate) since: Instant,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Go on.
    Wait,
    /// Consume again the classes that were given back.
    Reopen,
    /// Give this class back; where it is `again`, consume it again at once.
    Close { class: Class, again: bool },
    /// Give everything back and stop consuming until a slot is free; where others are free, hand on to them what the
    /// broker would not give them whole.
    Leave { hand_on: bool },
}

/// What waits for a slot, by class.
pub(crate) struct Held<S = Settle> {
    lines: [Line<S>; 3],
    /// When a slot was last seen free.
    free_at: Instant,
}

struct Line<S> {
    class: Class,
    pointers: VecDeque<HeldPointer<S>>,
    /// When it last got a slot, or was opened.
    served_at: Instant,
}

impl<S> Held<S> {
    pub(crate) fn new(now: Instant) -> Self {
        let lines = Class::ALL.map(|class| Line { class, pointers: VecDeque::new(), served_at: now });
        Self { lines, free_at: now }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.pointers.is_empty())
    }

    pub(crate) fn push(&mut self, class: Class, held: HeldPointer<S>) {
        if let Some(line) = self.line(class) {
            line.pointers.push_back(held);
        }
    }

    /// The first pointer of the most urgent class, for a slot that is free now.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Class, HeldPointer<S>)> {
        self.free_at = now;
        let line = self.lines.iter_mut().find(|line| !line.pointers.is_empty())?;
        line.served_at = now;
        line.pointers.pop_front().map(|held| (line.class, held))
    }

    /// A class is consumed from now on.
    pub(crate) fn opened(&mut self, class: Class, now: Instant) {
        if let Some(line) = self.line(class) {
            line.served_at = now;
        }
    }

    /// Forgets what is held of a class: its channel is closed, and the broker gives it to others.
    pub(crate) fn forget(&mut self, class: Class) {
        if let Some(line) = self.line(class) {
            line.pointers.clear();
        }
    }

    /// What the broker would not give to others whole, by class. It is held no more.
    pub(crate) fn take_parts(&mut self) -> Vec<(Class, Vec<HeldPointer<S>>)> {
        let parts = self.lines.iter_mut().map(|line| {
            let all = std::mem::take(&mut line.pointers);
            (line.class, all.into_iter().filter(|held| held.has_neighbours).collect())
        });
        parts.filter(|(_, parts): &(Class, Vec<HeldPointer<S>>)| !parts.is_empty()).collect()
    }

    /// What to do now. `slot_free`: one of the lane's slots is; `others_free`: other workers have some.
    pub(crate) fn step(&mut self, now: Instant, slot_free: bool, others_free: bool, closed: &[Class]) -> Step {
        if slot_free {
            self.free_at = now;
        }
        let full_for = now - self.free_at;
        if full_for >= FULL_MAX || (full_for >= HELD_MAX && others_free && !self.is_empty()) {
            return Step::Leave { hand_on: others_free };
        }
        if let Some(line) = self.lines.iter().find(|line| line.is_starved(now)) {
            return Step::Close { class: line.class, again: false };
        }
        if let Some(line) = self.lines.iter().find(|line| line.held_for(now) >= OLD_MAX) {
            return Step::Close { class: line.class, again: true };
        }
        if slot_free && self.reopens(closed) { Step::Reopen } else { Step::Wait }
    }

    fn line(&mut self, class: Class) -> Option<&mut Line<S>> {
        self.lines.iter_mut().find(|line| line.class == class)
    }

    /// Whether nothing more urgent than the closed classes waits.
    fn reopens(&self, closed: &[Class]) -> bool {
        let Some(last) = closed.iter().max() else { return false };
        self.lines.iter().all(|line| line.class > *last || line.pointers.is_empty())
    }
}

impl<S> Line<S> {
    fn held_for(&self, now: Instant) -> Duration {
        self.pointers.front().map_or(Duration::ZERO, |held| now - held.since)
    }

    fn is_starved(&self, now: Instant) -> bool {
        self.held_for(now) >= STARVED_MAX && now - self.served_at >= STARVED_MAX
    }
}

#[cfg(test)]
mod tests {
    use caraway_shared::task::{Epoch, TaskId};

    use super::*;

    const NONE: [Class; 0] = [];

    struct Lane {
        held: Held<()>,
        start: Instant,
    }

    impl Lane {
        fn new() -> Self {
            let start = Instant::now();
            Self { held: Held::new(start), start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn push(&mut self, class: Class, ms: u64, has_neighbours: bool) {
            let pointer = Pointer { id: TaskId(uuid::Uuid::now_v7()), epoch: Epoch(0) };
            let since = self.at(ms);
            self.held.push(class, HeldPointer { pointer, settle: (), has_neighbours, since });
        }

        fn serve(&mut self, ms: u64) -> Option<Class> {
            let now = self.at(ms);
            self.held.pop(now).map(|(class, _)| class)
        }

        fn step(&mut self, ms: u64, slot_free: bool, others_free: bool, closed: &[Class]) -> Step {
            let now = self.at(ms);
            self.held.step(now, slot_free, others_free, closed)
        }
    }

    #[test]
    fn what_is_urgent_is_served_first() {
        let mut lane = Lane::new();
        for class in [Class::Low, Class::High, Class::Normal] {
            lane.push(class, 0, false);
        }
        assert_eq!([0; 4].map(|ms| lane.serve(ms)), [Some(Class::High), Some(Class::Normal), Some(Class::Low), None]);
    }

    #[test]
    fn a_full_lane_leaves_sooner_where_others_have_room_for_what_it_holds() {
        let mut lane = Lane::new();
        assert_eq!(lane.step(500, false, true, &NONE), Step::Wait, "it holds nothing");
        assert_eq!(lane.step(1000, false, false, &NONE), Step::Leave { hand_on: false });
        let mut lane = Lane::new();
        lane.push(Class::Normal, 0, true);
        assert_eq!(lane.step(149, false, true, &NONE), Step::Wait);
        assert_eq!(lane.step(150, false, false, &NONE), Step::Wait);
        assert_eq!(lane.step(150, false, true, &NONE), Step::Leave { hand_on: true });
        lane.serve(200);
        lane.push(Class::Normal, 200, true);
        assert_eq!(lane.step(349, false, true, &NONE), Step::Wait, "a slot was free meanwhile");
    }

    #[test]
    fn only_parts_of_messages_are_handed_on() {
        let mut lane = Lane::new();
        for (class, has_neighbours) in [(Class::High, true), (Class::Low, false), (Class::High, false)] {
            lane.push(class, 0, has_neighbours);
        }
        let parts = lane.held.take_parts();
        let parts: Vec<_> = parts.iter().map(|(class, parts)| (*class, parts.len())).collect();
        assert_eq!((parts, lane.held.is_empty()), (vec![(Class::High, 1)], true));
    }

    #[test]
    fn a_class_that_gets_no_slot_is_given_back_and_taken_again_when_there_is_room() {
        let mut lane = Lane::new();
        lane.push(Class::Low, 0, false);
        for ms in (0..1000).step_by(50) {
            lane.push(Class::High, ms, false);
            assert_eq!(lane.serve(ms), Some(Class::High));
        }
        let closed = Step::Close { class: Class::Low, again: false };
        assert_eq!((lane.step(999, false, false, &NONE), lane.step(1000, false, false, &NONE)), (Step::Wait, closed));
        lane.held.forget(Class::Low);
        lane.push(Class::High, 1000, false);
        assert_eq!(lane.step(1050, true, false, &[Class::Low]), Step::Wait, "a more urgent one waits");
        lane.serve(1100);
        assert_eq!(lane.step(1150, false, false, &[Class::Low]), Step::Wait);
        assert_eq!(lane.step(1200, true, false, &[Class::Low]), Step::Reopen);
    }

    #[test]
    fn less_urgent_ones_keep_no_closed_class_from_being_opened() {
        let mut lane = Lane::new();
        lane.push(Class::Low, 0, false);
        assert_eq!(lane.step(10, true, false, &[Class::Normal]), Step::Reopen);
    }

    #[test]
    fn what_waits_for_its_own_class_is_given_back_later() {
        let mut lane = Lane::new();
        for _ in 0..100 {
            lane.push(Class::Normal, 0, false);
        }
        for ms in (0..5000).step_by(500) {
            lane.serve(ms);
            assert_eq!(lane.step(ms, false, false, &NONE), Step::Wait);
        }
        assert_eq!(lane.step(5000, false, false, &NONE), Step::Close { class: Class::Normal, again: true });
    }
}
