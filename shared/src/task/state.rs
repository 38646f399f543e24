//! The state machine: eight states, and every event that may move a task between them.
//!
//! Invariants: a terminal state has no way out; what this table does not name is refused. The SQL guards in
//! `store/tasks` and the trigger in the first migration say the same in the database's words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a task stands. `succeeded`, `failed`, `cancelled` and `expired` are terminal and never change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Due later: a delay, or the wait before the next attempt.
    Scheduled,
    /// Blocked on another task.
    Waiting,
    /// Runnable; a message is owed to the broker or out.
    Queued,
    /// Claimed by a worker session under an epoch.
    Running,
    /// Terminal: the handler returned a result.
    Succeeded,
    /// Terminal: attempts are spent, or the error was final.
    Failed,
    /// Terminal: cancelled before or while it ran.
    Cancelled,
    /// Terminal: not started in time.
    Expired,
}

/// What may happen to a task. Each is made by exactly one kind of actor, named in its line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// Promoter: its time has come.
    Promote,
    /// Finisher of the last dependency.
    Unblock,
    /// The same, of a task that starts some time after that.
    UnblockLater,
    /// Finisher of a dependency that failed.
    DependencyFailed,
    /// Worker: claimed under the epoch that the pointer names.
    Claim,
    /// API: cancel before the start.
    Cancel,
    /// Promoter or claim: not started in time.
    Expire,
    /// Worker: the handler returned.
    Succeed,
    /// Worker, rescuer or deadline sweep: failed for good.
    Fail,
    /// Worker or rescuer: a running task whose cancellation was requested ended.
    ConfirmCancel,
    /// Worker or deadline sweep: try again later.
    Retry,
    /// Worker at shutdown, or rescuer after its death: try again at once.
    Release,
}

/// An event that the state has no place for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a task that is {state} refuses {event:?}")]
pub struct Refused {
    /// The state that refused.
    pub state: State,
    /// What it refused.
    pub event: Event,
}

impl State {
    /// Every state, in the order of a task's life.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The state after `event`.
    pub fn next(self, event: Event) -> Result<Self, Refused> {
        match (self, event) {
            (Self::Scheduled, Event::Promote) | (Self::Waiting, Event::Unblock) | (Self::Running, Event::Release) => {
                Ok(Self::Queued)
            }
            (Self::Queued, Event::Claim) => Ok(Self::Running),
            (Self::Running, Event::Retry) | (Self::Waiting, Event::UnblockLater) => Ok(Self::Scheduled),
            (Self::Running, Event::Succeed) => Ok(Self::Succeeded),
            (Self::Running, Event::Fail) => Ok(Self::Failed),
            (Self::Running, Event::ConfirmCancel)
            | (Self::Waiting, Event::DependencyFailed)
            | (Self::Scheduled | Self::Waiting | Self::Queued, Event::Cancel) => Ok(Self::Cancelled),
            (Self::Scheduled | Self::Queued, Event::Expire) => Ok(Self::Expired),
            (state, event) => Err(Refused { state, event }),
        }
    }

    /// Whether nothing can change this any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a task state")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| UnknownState(word.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table of ARCHITECTURE.md, "States", written down a second time and in another form on purpose.
    const TABLE: &[(State, Event, State)] = &[
        (State::Scheduled, Event::Promote, State::Queued),
        (State::Scheduled, Event::Cancel, State::Cancelled),
        (State::Scheduled, Event::Expire, State::Expired),
        (State::Waiting, Event::Unblock, State::Queued),
        (State::Waiting, Event::Cancel, State::Cancelled),
        (State::Waiting, Event::UnblockLater, State::Scheduled),
        (State::Waiting, Event::DependencyFailed, State::Cancelled),
        (State::Queued, Event::Claim, State::Running),
        (State::Queued, Event::Cancel, State::Cancelled),
        (State::Queued, Event::Expire, State::Expired),
        (State::Running, Event::Succeed, State::Succeeded),
        (State::Running, Event::Fail, State::Failed),
        (State::Running, Event::ConfirmCancel, State::Cancelled),
        (State::Running, Event::Retry, State::Scheduled),
        (State::Running, Event::Release, State::Queued),
    ];

    const EVENTS: [Event; 12] = [
        Event::Promote,
        Event::Unblock,
        Event::UnblockLater,
        Event::DependencyFailed,
        Event::Claim,
        Event::Cancel,
        Event::Expire,
        Event::Succeed,
        Event::Fail,
        Event::ConfirmCancel,
        Event::Retry,
        Event::Release,
    ];

    proptest! {
        #[test]
        fn every_transition_outside_the_table_is_refused(
            state in prop::sample::select(State::ALL.to_vec()),
            event in prop::sample::select(EVENTS.to_vec()),
        ) {
            let listed = TABLE.iter().find(|(from, by, _)| (*from, *by) == (state, event)).map(|(.., to)| *to);
            prop_assert_eq!(state.next(event).ok(), listed);
        }

        #[test]
        fn no_life_leaves_a_terminal_state(events in prop::collection::vec(prop::sample::select(EVENTS.to_vec()), 0..64)) {
            let mut state = State::Queued;
            let mut ended_as = None;
            for event in events {
                if let Ok(next) = state.next(event) {
                    prop_assert_eq!(ended_as, None, "{} left by {:?}", state, event);
                    state = next;
                }
                if state.is_terminal() {
                    ended_as = Some(state);
                }
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
        }
        assert!("done".parse::<State>().is_err());
    }
}
