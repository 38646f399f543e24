//! PostgreSQL is killed (SIGKILL) and started again.

use std::time::Duration;

use crate::drill::Drill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed_and_started_again() {
    let mut drill = Drill::start("database-killed").await;
    let loading = drill.load();
    let fault = drill.middle(&loading).await;

    drill.stack.kill("postgres").await;
    drill.stack.start_server("postgres").await;

    drill.finish(loading, &fault, Duration::from_secs(90)).await;
    drill.assert_rose(&["caraway_batch_repeats_total"]).await;
}
