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

/// Turns a run's ending into what is recorded of it. `age` is the time since the task was accepted; `random` is drawn
/// from 0 ≤ r < 1.
pub fn judge(ending: Ending, budget: &Budget, age: Duration, random: f64) -> Outcome {
    let (attempt, error, asked) = match ending {
        Ending::Returned(result) => return Outcome::Succeed(result),
        Ending::Cancelled => return Outcome::Cancel,
        Ending::Interrupted => return Outcome::Release,
        Ending::Snoozed(after) => {
            let after = after.min(RetryPolicy::wait_max());
            return Outcome::Retry { attempt: AttemptOutcome::Snoozed, error: None, after };
        }
        Ending::Raised { error, retryable: false, .. } => return Outcome::Fail(error),
        Ending::Raised { error, retryable: true, retry_after } => (AttemptOutcome::Failed, error, retry_after),
        Ending::Panicked(message) => (AttemptOutcome::Failed, TaskError::new("panic", message), None),
        Ending::TimedOut => (AttemptOutcome::TimedOut, TaskError::new("timed_out", "its time limit was reached"), None),
    };
    if budget.attempt >= budget.max_attempts {
        return Outcome::Fail(error);
    }
    match budget.policy.next(&error.code, budget.attempt, age, asked, random) {
        Some(after) => Outcome::Retry { attempt, error: Some(error), after },
        None => Outcome::Fail(error),
    }
}

#[cfg(test)]
mod tests {
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
