//! Redis is emptied, and then it is gone.

use std::time::Duration;

use crate::drill::Drill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_flushed_and_stopped() {
    let mut drill = Drill::start("redis-gone").await;
    let loading = drill.load();
    let fault = drill.middle(&loading).await;

    drill.stack.flush_redis().await;
    drill.stack.stop("redis").await;

    // reads of the API meet the missing cache
    drill.finish(loading, &fault, Duration::from_mins(1)).await;
    drill.assert_rose(&["caraway_cache_breaker_trips_total"]).await;
}
