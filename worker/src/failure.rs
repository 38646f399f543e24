//! What a handler returns when it has no result: an error with a code, and whether another attempt could do better.

use std::time::Duration;

use caraway_shared::task::{Ending, TaskError};
use serde::Serialize;
use serde_json::value::to_raw_value;

/// A handler's failure. Any [`std::error::Error`] turns into a retryable one with the code `error`, so `?` works.
#[derive(Debug)]
pub struct Failure(Kind);

#[derive(Debug)]
enum Kind {
    Error { error: TaskError, retryable: bool, retry_after: Option<Duration> },
    Snooze(Duration),
}

impl Failure {
    /// Another attempt may do better: retried with the task's back-off while attempts are left.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Kind::Error { error: TaskError::new(code, message), retryable: true, retry_after: None })
    }

    /// No attempt will do better: the task fails at once.
    pub fn fatal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Kind::Error { error: TaskError::new(code, message), retryable: false, retry_after: None })
    }

    /// Not a failure: run again after this long, at no cost of an attempt.
    pub fn snooze(after: Duration) -> Self {
        Self(Kind::Snooze(after))
    }

    /// Names the wait before the next attempt, which wins over the task's back-off.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Kind::Error { retry_after, .. } = &mut self.0 {
            *retry_after = Some(wait);
        }
        self
    }

    /// Adds anything that helps, as JSON; dropped if it does not serialize or is larger than
    /// [`TaskError::DETAILS_BYTES_MAX`].
    #[must_use]
    pub fn details(mut self, details: &impl Serialize) -> Self {
        if let Kind::Error { error, .. } = &mut self.0 {
            error.details =
                to_raw_value(details).ok().filter(|details| details.get().len() <= TaskError::DETAILS_BYTES_MAX);
        }
        self
    }

    pub(crate) fn into_ending(self) -> Ending {
        match self.0 {
            Kind::Error { error, retryable, retry_after } => Ending::Raised { error, retryable, retry_after },
            Kind::Snooze(after) => Ending::Snoozed(after),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::retryable("error", message)
    }
}
