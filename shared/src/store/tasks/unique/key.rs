//! What becomes of a unique key when a task asks for it, and when its holder has ended. Pure: what the rows say under
//! their locks goes in, and what is to be written comes out.

use uuid::Uuid;

use crate::{
    access::Grant,
    task::{OnConflict, Scope, State, TaskId},
};

/// A task that holds a key, or waits for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::store::tasks) struct KeyTask {
    pub(in crate::store::tasks) id: Uuid,
    /// Where it queues; `None` where its row is gone.
    pub(in crate::store::tasks) queue: Option<String>,
    /// Where it stands; `None` where its row is gone.
    pub(in crate::store::tasks) state: Option<State>,
}

/// A key as it stands in memory while its row is locked.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::store::tasks) struct UniqueKey {
    /// `None` for a key that nobody holds: then it has no row when this is written.
    pub(super) holder: Option<KeyTask>,
    /// Whose turn comes when the holder has ended.
    pub(super) next: Option<KeyTask>,
    pub(super) scope: Scope,
    /// Seconds from now on, for [`Scope::Period`].
    pub(super) period: Option<f64>,
    /// Whether the time of a key with [`Scope::Period`] has passed.
    pub(super) is_past: bool,
}

/// A task that asks for a key.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::tasks) struct Candidate<'a> {
    pub(in crate::store::tasks) id: TaskId,
    pub(in crate::store::tasks) queue: &'a str,
    pub(in crate::store::tasks) scope: Scope,
    pub(in crate::store::tasks) period: Option<f64>,
    pub(in crate::store::tasks) on_conflict: OnConflict,
    /// What its submitter may touch; `None` for everything.
    pub(in crate::store::tasks) grant: Option<&'a Grant>,
}

/// What a task that asked for a key is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store::tasks) enum KeyAnswer {
    /// It holds the key.
    Holds,
    /// It waits until the holder has ended.
    Waits,
    /// The holder stands for it.
    Existing(TaskId),
    /// The holder keeps it out. Without an id where its submitter may not know of the holder.
    Rejected(Option<TaskId>),
}

/// What is to be done to the tasks of keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::store::tasks) struct KeyEffects {
    /// Tasks that have lost their place to a newer one.
    pub(in crate::store::tasks) cancelled: Vec<Uuid>,
    /// Tasks that waited, and whose turn has come.
    pub(in crate::store::tasks) turns: Vec<Uuid>,
}

impl KeyTask {
    fn is_over(&self) -> bool {
        self.state.is_none_or(State::is_terminal)
    }

    fn is_running(&self) -> bool {
        self.state == Some(State::Running)
    }

    /// Whether a key with this grant may know of it. A row that is gone tells no queue, so only a grant for all will do.
    fn is_within(&self, grant: Option<&Grant>) -> bool {
        grant.is_none_or(|grant| self.queue.as_deref().map_or(grant.covers_all(), |queue| grant.covers(queue)))
    }
}

impl UniqueKey {
    /// A key that nobody holds yet.
    pub(in crate::store::tasks) const fn free() -> Self {
        Self { holder: None, next: None, scope: Scope::Incomplete, period: None, is_past: false }
    }

    /// Whether both are the same row: nothing else of it changes while its tasks stay.
    pub(super) fn is_row_of(&self, other: &Self) -> bool {
        let ids = |key: &Self| [&key.holder, &key.next].map(|task| task.as_ref().map(|task| task.id));
        ids(self) == ids(other)
    }

    /// Moves on when the holder has ended: the task that waited holds the key, and is queued. One that has ended while it
    /// waited leaves the key to nobody.
    pub(in crate::store::tasks) fn settle(&mut self, effects: &mut KeyEffects) {
        if self.holder.as_ref().is_some_and(|holder| !holder.is_over()) {
            return;
        }
        let Some(mut next) = self.next.take() else { return };
        if next.is_over() {
            self.holder = None;
            return;
        }
        if next.state == Some(State::Waiting) {
            effects.turns.push(next.id);
            next.state = Some(State::Queued);
        }
        self.holder = Some(next);
    }

    /// Decides on one task that asks for the key. Tasks of one transaction ask one after the other, so each meets what the
    /// one before it left.
    pub(in crate::store::tasks) fn ask(&mut self, new: &Candidate<'_>, effects: &mut KeyEffects) -> KeyAnswer {
        self.settle(effects);
        if self.is_free() {
            return self.hand_to(new, effects);
        }
        let Some(holder) = self.holder.clone() else { return self.hand_to(new, effects) };
        if !holder.is_within(new.grant) {
            return KeyAnswer::Rejected(None);
        }
        match new.on_conflict {
            OnConflict::Reject => KeyAnswer::Rejected(Some(TaskId(holder.id))),
            OnConflict::Replace | OnConflict::KeepLatest if !holder.is_over() && !holder.is_running() => {
                if !self.next_is_within(new.grant) {
                    return KeyAnswer::Rejected(None);
                }
                effects.cancel(holder.id);
                self.hand_to(new, effects)
            }
            OnConflict::KeepLatest if self.scope == Scope::Incomplete => {
                if !self.next_is_within(new.grant) {
                    return KeyAnswer::Rejected(None);
                }
                self.cancel_next(effects);
                self.next = Some(new.as_task(State::Waiting));
                KeyAnswer::Waits
            }
            OnConflict::ReturnExisting | OnConflict::Replace | OnConflict::KeepLatest => {
                KeyAnswer::Existing(TaskId(holder.id))
            }
        }
    }

    /// Whether its holder keeps nobody out any more. A holder that goes on is neither cancelled nor named.
    fn is_free(&self) -> bool {
        let Some(holder) = &self.holder else { return true };
        match self.scope {
            Scope::Period => self.is_past,
            Scope::Queued => holder.is_over() || holder.is_running(),
            Scope::Incomplete => holder.is_over(),
        }
    }

    fn hand_to(&mut self, new: &Candidate<'_>, effects: &mut KeyEffects) -> KeyAnswer {
        self.cancel_next(effects); // what waited behind the holder is behind nobody now
        *self = Self {
            holder: Some(new.as_task(State::Queued)),
            next: None,
            scope: new.scope,
            period: new.period,
            is_past: false,
        };
        KeyAnswer::Holds
    }

    fn next_is_within(&self, grant: Option<&Grant>) -> bool {
        self.next.as_ref().is_none_or(|next| next.is_within(grant))
    }

    fn cancel_next(&mut self, effects: &mut KeyEffects) {
        if let Some(next) = self.next.take().filter(|next| !next.is_over()) {
            effects.cancel(next.id);
        }
    }
}

impl Candidate<'_> {
    fn as_task(&self, state: State) -> KeyTask {
        KeyTask { id: self.id.0, queue: Some(self.queue.to_owned()), state: Some(state) }
    }
}

impl KeyEffects {
    fn cancel(&mut self, id: Uuid) {
        self.turns.retain(|turn| *turn != id);
        self.cancelled.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u128, state: State) -> KeyTask {
        KeyTask { id: Uuid::from_u128(id), queue: Some("mail".into()), state: Some(state) }
    }

    fn held_by(holder: KeyTask, next: Option<KeyTask>) -> UniqueKey {
        UniqueKey { holder: Some(holder), next, ..UniqueKey::free() }
    }

    fn asks(id: u128, on_conflict: OnConflict) -> Candidate<'static> {
        let id = TaskId(Uuid::from_u128(id));
        Candidate { id, queue: "mail", scope: Scope::Incomplete, period: None, on_conflict, grant: None }
    }

    fn ask(key: &mut UniqueKey, id: u128, on_conflict: OnConflict) -> (KeyAnswer, Vec<u128>) {
        let mut effects = KeyEffects::default();
        let answer = key.ask(&asks(id, on_conflict), &mut effects);
        (answer, effects.cancelled.iter().map(Uuid::as_u128).collect())
    }

    fn existing(id: u128) -> KeyAnswer {
        KeyAnswer::Existing(TaskId(Uuid::from_u128(id)))
    }

    #[test]
    fn the_newest_of_several_wins() {
        for on_conflict in [OnConflict::Replace, OnConflict::KeepLatest] {
            let mut key = UniqueKey::free();
            assert_eq!(ask(&mut key, 1, on_conflict), (KeyAnswer::Holds, vec![]));
            assert_eq!(ask(&mut key, 2, on_conflict), (KeyAnswer::Holds, vec![1]));
            assert_eq!(ask(&mut key, 3, on_conflict), (KeyAnswer::Holds, vec![2]));
            assert_eq!(ask(&mut key, 4, OnConflict::ReturnExisting), (existing(3), vec![]));
            let rejected = KeyAnswer::Rejected(Some(TaskId(Uuid::from_u128(3))));
            assert_eq!(ask(&mut key, 5, OnConflict::Reject), (rejected, vec![]));
        }
    }

    #[test]
    fn behind_a_running_task_the_newest_waits() {
        let mut key = held_by(task(1, State::Running), None);
        assert_eq!(ask(&mut key, 2, OnConflict::Replace), (existing(1), vec![]));
        assert_eq!(ask(&mut key, 3, OnConflict::KeepLatest), (KeyAnswer::Waits, vec![]));
        assert_eq!(ask(&mut key, 4, OnConflict::KeepLatest), (KeyAnswer::Waits, vec![3]));
        // the one that runs is to be tried again later: it has not started, nor has what waits for it
        key.holder = Some(task(1, State::Scheduled));
        assert_eq!(ask(&mut key, 5, OnConflict::KeepLatest), (KeyAnswer::Holds, vec![1, 4]));
    }

    #[test]
    fn a_turn_comes_when_the_holder_has_ended_and_the_next_one_really_waits() {
        let gone = |id| KeyTask { id: Uuid::from_u128(id), queue: None, state: None };
        for (next, turn, holder) in [
            (task(2, State::Waiting), Some(2), Some(2)),
            (task(2, State::Running), None, Some(2)),
            (task(2, State::Cancelled), None, None),
            (gone(2), None, None),
        ] {
            for ended in [task(1, State::Succeeded), gone(1)] {
                let (mut key, mut effects) = (held_by(ended, Some(next.clone())), KeyEffects::default());
                key.settle(&mut effects);
                assert_eq!(effects.turns.first().map(Uuid::as_u128), turn, "{next:?}");
                assert_eq!(key.holder.map(|holder| holder.id.as_u128()), holder, "{next:?}");
                assert_eq!(key.next, None);
            }
        }
        for state in [State::Scheduled, State::Waiting, State::Queued, State::Running] {
            let (mut key, mut effects) =
                (held_by(task(1, state), Some(task(2, State::Waiting))), KeyEffects::default());
            let before = key.clone();
            key.settle(&mut effects);
            assert_eq!((key, effects), (before, KeyEffects::default()), "{state}");
        }
    }

    #[test]
    fn a_turn_that_comes_and_is_lost_at_once_is_no_turn() {
        let mut key = held_by(task(1, State::Failed), Some(task(2, State::Waiting)));
        let mut effects = KeyEffects::default();
        assert_eq!(key.ask(&asks(3, OnConflict::KeepLatest), &mut effects), KeyAnswer::Holds);
        assert_eq!((effects.turns, effects.cancelled), (vec![], vec![Uuid::from_u128(2)]));
    }

    #[test]
    fn a_key_for_other_queues_neither_cancels_nor_learns_of_the_holder() {
        let grant = |queue: &str| Grant::new(vec![crate::access::Scope::Submit], vec![queue.parse().unwrap()]).unwrap();
        let (stranger, friend) = (grant("images"), grant("mail"));
        let conflicts = [OnConflict::ReturnExisting, OnConflict::Reject, OnConflict::Replace, OnConflict::KeepLatest];
        for state in [State::Scheduled, State::Queued, State::Running] {
            for on_conflict in conflicts {
                let before = held_by(task(1, state), Some(task(2, State::Waiting)));
                let (mut key, mut effects) = (before.clone(), KeyEffects::default());
                let new = Candidate { grant: Some(&stranger), ..asks(3, on_conflict) };
                assert_eq!(key.ask(&new, &mut effects), KeyAnswer::Rejected(None), "{state} {on_conflict:?}");
                assert_eq!((&key, effects), (&before, KeyEffects::default()));
                let mut effects = KeyEffects::default();
                let new = Candidate { grant: Some(&friend), ..asks(3, on_conflict) };
                assert_ne!(key.ask(&new, &mut effects), KeyAnswer::Rejected(None), "{state} {on_conflict:?}");
            }
        }
        // what waits is another's
        let mut waits = task(2, State::Waiting);
        waits.queue = Some("images".into());
        let mut key = held_by(task(1, State::Running), Some(waits));
        let new = Candidate { grant: Some(&friend), ..asks(3, OnConflict::KeepLatest) };
        assert_eq!(key.ask(&new, &mut KeyEffects::default()), KeyAnswer::Rejected(None));
        // a holder that keeps nobody out is no secret of anybody's
        let mut key = held_by(task(1, State::Succeeded), None);
        let new = Candidate { grant: Some(&stranger), ..asks(3, OnConflict::Reject) };
        assert_eq!(key.ask(&new, &mut KeyEffects::default()), KeyAnswer::Holds);
    }

    #[test]
    fn scopes_end_at_their_own_time() {
        let free = |scope, state, is_past| UniqueKey { scope, is_past, ..held_by(task(1, state), None) }.is_free();
        for (state, queued, incomplete) in
            [(State::Queued, false, false), (State::Running, true, false), (State::Succeeded, true, true)]
        {
            assert_eq!(free(Scope::Queued, state, false), queued, "{state}");
            assert_eq!(free(Scope::Incomplete, state, false), incomplete, "{state}");
            assert!(!free(Scope::Period, state, false) && free(Scope::Period, state, true), "{state}");
        }
    }
}
