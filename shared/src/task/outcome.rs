//! How a run may end, and what is then recorded: two closed sets and the pure function between them.
//!
//! Invariants: whether an attempt is tried again is decided here and nowhere else in the worker; a run's ending is told
//! by its type, never by the text of its error.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Event, RetryPolicy};

/// An error as people see it: a stable code to match on, a sentence to read, anything else as JSON.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    /// Stable, `snake_case`; at most [`TaskError::CODE_BYTES_MAX`] bytes.
    pub code: String,
    /// For people; at most 4096 bytes.
    pub message: String,
    /// Whatever helps, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub details: Option<Box<RawValue>>,
}

impl TaskError {
    /// Larger details are dropped.
    pub const DETAILS_BYTES_MAX: usize = 16 << 10;

    /// Longer messages are cut, so that an error can never be what fills the database.
    pub const MESSAGE_BYTES_MAX: usize = 4096;

    /// Longer codes are cut: tasks are found by them.
    pub const CODE_BYTES_MAX: usize = 64;

    /// The code of a task that its workers do not survive.
    pub const POISON: &str = "poison";

    /// An error without details. NUL bytes, which PostgreSQL refuses in text, are dropped.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) =
            (bounded(code.into(), Self::CODE_BYTES_MAX), bounded(message.into(), Self::MESSAGE_BYTES_MAX));
        Self { code, message, details: None }
    }
}

fn bounded(mut text: String, bytes_max: usize) -> String {
    text.retain(|c| c != '\0');
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// How a run of a handler ended.
#[derive(Debug)]
pub enum Ending {
    /// It returned; the result is JSON.
    Returned(Bytes),
    /// It returned an error.
    Raised {
        /// The error.
        error: TaskError,
        /// Whether another attempt could do better.
        retryable: bool,
        /// The wait that the error itself asks for; wins over the back-off.
        retry_after: Option<Duration>,
    },
    /// It panicked.
    Panicked(String),
    /// It ran past its hard time limit.
    TimedOut,
    /// It stopped because its cancellation was requested.
    Cancelled,
    /// The worker shut down before it was done.
    Interrupted,
    /// It asked to be run again later; costs no attempt.
    Snoozed(Duration),
    /// Its worker died. Nobody knows how the run itself ended, or whether it did.
    Lost {
        /// Whether it was lost so often that it is taken for the cause.
        poison: bool,
    },
    /// It ran past its hard time limit, and its worker did not end it.
    Overdue,
}

/// What an attempt tells about a task that may be what kills its workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossCount {
    /// The worker lived to tell how the attempt ended: the count starts at nothing.
    Reset,
    /// It tells nothing.
    Kept,
    /// The worker died.
    Raised,
}

/// How an attempt ended, as `/attempts` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Returned a result.
    Succeeded,
    /// Returned an error or panicked.
    Failed,
    /// Ran past its hard time limit.
    TimedOut,
    /// Stopped on request.
    Cancelled,
    /// Its worker died; spends an attempt.
    Lost,
    /// Its worker shut down; spends none.
    Interrupted,
    /// Asked to be run later; spends none.
    Snoozed,
}

impl AttemptOutcome {
    /// The name used in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::Snoozed => "snoozed",
        }
    }
}

/// What is recorded of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// Terminal, with its result.
    Succeed(Bytes),
    /// Terminal.
    Fail(TaskError),
    /// Terminal, on request.
    Cancel,
    /// Another attempt, later.
    Retry {
        /// How this attempt ended.
        attempt: AttemptOutcome,
        /// Its error, if it had one.
        error: Option<TaskError>,
        /// How long to wait.
        after: Duration,
        /// What it tells about the task.
        losses: LossCount,
    },
    /// Another attempt, at once and somewhere else.
    Release,
}

impl Outcome {
    /// The event of the state machine that recording this is.
    pub const fn event(&self) -> Event {
        match self {
            Self::Succeed(_) => Event::Succeed,
            Self::Fail(_) => Event::Fail,
            Self::Cancel => Event::ConfirmCancel,
            Self::Retry { .. } => Event::Retry,
            Self::Release => Event::Release,
        }
    }
}

/// What the task allows: how many attempts, which one this was, when and whether another may follow.
#[derive(Clone, Debug)]
pub struct Budget {
    /// This attempt's number, from 1.
    pub attempt: i32,
    /// Attempts in all.
    pub max_attempts: i32,
    /// Which errors are tried again, and when.
    pub policy: RetryPolicy,
}

/// A snooze is no shorter, or a handler that asks for nothing would keep a worker and the database busy for ever.
const SNOOZE_MIN: Duration = Duration::from_secs(1);

/// Turns a run's ending into what is recorded of it, for the worker that ran it as for the reconcilers that take it back from a
/// dead worker or past its limit. `age` is the time since the task was accepted; `random` is drawn from 0 ≤ r < 1.
pub fn judge(ending: Ending, budget: &Budget, age: Duration, random: f64) -> Outcome {
    let mut losses = LossCount::Reset;
    let (attempt, error, asked) = match ending {
        Ending::Returned(result) => return Outcome::Succeed(result),
        Ending::Cancelled => return Outcome::Cancel,
        Ending::Interrupted => return Outcome::Release,
        Ending::Snoozed(after) => {
            let after = after.clamp(SNOOZE_MIN, RetryPolicy::wait_max());
            return Outcome::Retry { attempt: AttemptOutcome::Snoozed, error: None, after, losses };
        }
        Ending::Raised { error, retryable: false, .. } => return Outcome::Fail(error),
        Ending::Raised { error, retryable: true, retry_after } => (AttemptOutcome::Failed, error, retry_after),
        Ending::Panicked(message) => (AttemptOutcome::Failed, TaskError::new("panic", message), None),
        Ending::TimedOut => (AttemptOutcome::TimedOut, TaskError::new("timed_out", "its time limit was reached"), None),
        Ending::Overdue => {
            losses = LossCount::Kept;
            let message = "the hard time limit was reached, and the worker did not stop";
            (AttemptOutcome::TimedOut, TaskError::new("timed_out", message), None)
        }
        Ending::Lost { poison: true } => {
            return Outcome::Fail(TaskError::new(TaskError::POISON, "its worker died every time it ran"));
        }
        Ending::Lost { poison: false } => {
            losses = LossCount::Raised;
            (AttemptOutcome::Lost, TaskError::new("worker_lost", "the worker died while it ran"), None)
        }
    };
    if budget.attempt >= budget.max_attempts {
        return Outcome::Fail(error);
    }
    match budget.policy.next(&error.code, budget.attempt, age, asked, random) {
        Some(after) => Outcome::Retry { attempt, error: Some(error), after, losses },
        None => Outcome::Fail(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(attempt: i32) -> Budget {
        Budget { attempt, max_attempts: 3, policy: RetryPolicy::default() }
    }

    fn raised(retryable: bool) -> Ending {
        Ending::Raised { error: TaskError::new("boom", "it broke"), retryable, retry_after: None }
    }

    #[test]
    fn a_retryable_error_is_tried_again_until_the_attempts_are_spent() {
        assert!(
            matches!(judge(raised(true), &budget(1), Duration::ZERO, 0.0), Outcome::Retry { after, .. } if after.as_secs() == 2)
        );
        assert!(
            matches!(judge(raised(true), &budget(3), Duration::ZERO, 0.0), Outcome::Fail(error) if error.code == "boom")
        );
    }

    #[test]
    fn a_final_error_is_not() {
        assert!(matches!(judge(raised(false), &budget(1), Duration::ZERO, 0.0), Outcome::Fail(_)));
    }

    #[test]
    fn panics_and_time_limits_are_failures_with_a_code() {
        assert!(
            matches!(judge(Ending::Panicked("x".into()), &budget(3), Duration::ZERO, 0.0), Outcome::Fail(e) if e.code == "panic")
        );
        assert!(
            matches!(judge(Ending::TimedOut, &budget(3), Duration::ZERO, 0.0), Outcome::Fail(e) if e.code == "timed_out")
        );
    }

    #[test]
    fn the_error_may_name_its_own_wait() {
        let after = Duration::from_secs(77);
        let ending = Ending::Raised { error: TaskError::new("busy", ""), retryable: true, retry_after: Some(after) };
        assert!(
            matches!(judge(ending, &budget(1), Duration::ZERO, 0.9), Outcome::Retry { after: got, .. } if got == after)
        );
    }

    #[test]
    fn a_snooze_lasts_for_a_second_at_least() {
        for (asked, waits) in [(0, 1000), (999, 1000), (1500, 1500)] {
            let outcome = judge(Ending::Snoozed(Duration::from_millis(asked)), &budget(3), Duration::ZERO, 0.0);
            assert!(matches!(outcome, Outcome::Retry { after, .. } if after.as_millis() == waits), "{outcome:?}");
        }
    }

    proptest! {
        /// The policy is asked alike, whether the handler, the worker's death or the deadline sweep ended the attempt.
        #[test]
        fn one_policy_for_every_way_to_lose_an_attempt(
            attempt in 1..6, max_attempts in 1..6, age in 0.0..100.0, random in 0.0..1.0,
            listed in prop::sample::subsequence(vec!["worker_lost", "timed_out", "boom", "*"], 0..3),
            refused in prop::sample::subsequence(vec!["worker_lost", "timed_out", "boom", "work*"], 0..2),
            limit in prop::option::of(0.0..100.0),
        ) {
            let owned = |codes: Vec<&str>| codes.into_iter().map(String::from).collect::<Vec<_>>();
            let policy = RetryPolicy {
                retry_on: owned(listed), no_retry_on: owned(refused), max_retry_duration: limit, ..RetryPolicy::default()
            };
            let budget = Budget { attempt, max_attempts, policy };
            let age = Duration::from_secs_f64(age);
            for (ending, code, how, losses) in [
                (raised(true), "boom", AttemptOutcome::Failed, LossCount::Reset),
                (Ending::TimedOut, "timed_out", AttemptOutcome::TimedOut, LossCount::Reset),
                (Ending::Overdue, "timed_out", AttemptOutcome::TimedOut, LossCount::Kept),
                (Ending::Lost { poison: false }, "worker_lost", AttemptOutcome::Lost, LossCount::Raised),
            ] {
                let allowed = budget.policy.next(code, attempt, age, None, random).filter(|_| attempt < max_attempts);
                match (judge(ending, &budget, age, random), allowed) {
                    (Outcome::Retry { attempt: got, error, after, losses: told }, Some(wait)) => {
                        prop_assert_eq!((got, after, told), (how, wait, losses));
                        prop_assert_eq!(error.map(|error| error.code), Some(code.to_owned()));
                    }
                    (Outcome::Fail(error), None) => prop_assert_eq!(error.code, code),
                    (outcome, allowed) => prop_assert!(false, "{:?} where {:?} was allowed", outcome, allowed),
                }
            }
        }
    }

    #[test]
    fn what_kills_its_workers_ends_whatever_the_policy_allows() {
        let outcome = judge(Ending::Lost { poison: true }, &budget(1), Duration::ZERO, 0.0);
        assert!(matches!(outcome, Outcome::Fail(error) if error.code == "poison"));
    }

    #[test]
    fn an_interrupted_run_is_released_even_at_its_last_attempt() {
        assert!(matches!(judge(Ending::Interrupted, &budget(3), Duration::ZERO, 0.0), Outcome::Release));
    }

    #[test]
    fn messages_are_bounded_and_free_of_nul() {
        let error = TaskError::new("x", format!("a\0{}", "ö".repeat(5000)));
        assert!(error.message.len() <= TaskError::MESSAGE_BYTES_MAX);
        assert!(!error.message.contains('\0'));
    }
}
