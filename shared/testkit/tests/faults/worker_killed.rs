//! A worker is killed (SIGKILL) and started again.

use std::time::Duration;

use crate::drill::Drill;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_killed_and_started_again() {
    let mut drill = Drill::start("worker-killed").await;
    let loading = drill.load();
    let fault = drill.middle(&loading).await;

    let pid = drill.workers[0].pid();
    drill.workers[0].kill().await;
    let held = format!("SELECT count(*) FROM task WHERE state = 'running' AND worker LIKE '%:{pid}'");
    let held = drill.database.number(&held).await;
    assert!(held > 0, "the worker held nothing when it was killed");
    drill.workers[0].restart().await;

    drill.finish(loading, &fault, Duration::from_mins(1)).await;
    println!("worker-killed: held by the killed worker {held}");
    drill.assert_rose(&["caraway_rescued_total"]).await;
}
