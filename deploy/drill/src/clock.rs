//! The machine's monotonic clock, which the execution ledger uses too.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine's boot.
pub(crate) fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}
