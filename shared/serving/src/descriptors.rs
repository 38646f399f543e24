//! How many files the process may have open, which bounds how many connections it may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Left to PostgreSQL, RabbitMQ, Redis, logs and the runtime, whatever comes in over HTTP.
const RESERVE: usize = 256;
/// Where even the reserve is more than half of all.
const SHARE: usize = 2;
/// Where the system sets no limit: more than this is never asked for.
const LIMIT_MAX: u64 = 1 << 20;

/// Raises the soft limit to the hard one, and says how many connections fit beside the reserve.
pub(super) fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(LIMIT_MAX), limit.maximum.unwrap_or(LIMIT_MAX).min(LIMIT_MAX));
    let raised = soft < hard
        && setrlimit(Resource::Nofile, Rlimit { current: Some(hard), maximum: limit.maximum })
            .inspect_err(|error| tracing::warn!(%error, files.limit = soft, "the limit of open files cannot be raised"))
            .is_ok();
    fitting(usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX))
}

fn fitting(files: usize) -> usize {
    files.saturating_sub(RESERVE).max(files / SHARE).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_keep_their_descriptors() {
        assert_eq!([fitting(20_000), fitting(1024), fitting(300), fitting(0)], [19_744, 768, 150, 1]);
    }
}
