//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until it sees what is wanted (`Ok`), and fails the test at the deadline, telling what was seen last (`Err`).
pub async fn eventually<T>(deadline: Duration, wanted: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + deadline;
    loop {
        let seen = match look().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(Instant::now() < until, "not within {deadline:?}: {wanted}; last seen: {seen}");
        sleep(LOOK_EVERY).await;
    }
}
