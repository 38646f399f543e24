//! Why nothing was fetched, and whether another attempt could do better.

use std::time::Duration;

use caraway_worker::Failure;
use serde_json::json;

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It is no URL that can be fetched.
    #[error("the URL cannot be fetched: {0}")]
    InvalidUrl(String),
    /// A header that a client may not send.
    #[error("the headers cannot be sent: {0}")]
    InvalidHeaders(String),
    /// It leads where a worker does not go.
    #[error("the URL is not allowed: {0}")]
    Blocked(String),
    /// The name is not known, or nobody answers for names.
    #[error("the name cannot be resolved: {0}")]
    Unresolved(String),
    /// No connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The answer began, and its end never came.
    #[error("the answer broke off before its end: {0}")]
    Incomplete(String),
    /// It leads to what is no URL.
    #[error("the server redirects to what cannot be fetched: {0}")]
    BadRedirect(String),
    /// More headers than anybody needs.
    #[error("the answer has more than {count} headers, or more than {bytes} bytes of them")]
    HeadTooLarge {
        /// How many it may have.
        count: usize,
        /// And how many bytes of them.
        bytes: usize,
    },
    /// What came is no HTTP.
    #[error("the server does not speak HTTP: {0}")]
    NoHttp(String),
    /// It took too long.
    #[error("the answer was not complete in time")]
    TimedOut,
    /// There is more of it than wanted.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// One redirect after the other.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// A status that may pass: 408, 429, 5xx.
    #[error("the server answered {status}")]
    Status {
        /// Which.
        status: u16,
        /// When to try again, as far as the server says.
        retry_after: Option<Duration>,
    },
}

impl Fault {
    /// As the task's failure, with a code that clients can match.
    pub(super) fn into_failure(self) -> Failure {
        let message = self.to_string();
        match self {
            Self::InvalidUrl(_) | Self::InvalidHeaders(_) => Failure::fatal("invalid_arguments", message),
            Self::Blocked(_) => Failure::fatal("ssrf_blocked", message),
            Self::TooLarge(_) | Self::HeadTooLarge { .. } => Failure::fatal("response_too_large", message),
            Self::BadRedirect(_) => Failure::fatal("invalid_redirect", message),
            Self::TooManyRedirects(_) => Failure::fatal("too_many_redirects", message),
            Self::Unresolved(_) => Failure::retryable("dns_failed", message),
            Self::Unreachable(_) => Failure::retryable("connect_failed", message),
            Self::Incomplete(_) => Failure::retryable("incomplete_response", message),
            Self::NoHttp(_) => Failure::retryable("invalid_response", message),
            Self::TimedOut => Failure::retryable("fetch_timed_out", message),
            Self::Status { status, retry_after } => {
                let failure =
                    Failure::retryable(format!("http_{status}"), message).details(&json!({ "status": status }));
                match retry_after {
                    Some(wait) => failure.after(wait),
                    None => failure,
                }
            }
        }
    }
}
