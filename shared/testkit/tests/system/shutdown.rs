//! SIGTERM under load: what can finish within the grace does, the rest is handed over and has not spent an attempt.

use std::time::{Duration, Instant};

use caraway_testkit::eventually;
use serde_json::json;

use crate::stage::{SOON, Stage};

const GRACE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_loses_nothing() {
    let mut stage = Stage::start("shutdown").await;
    stage.worker.terminate(SOON).await;
    let leaving = stage.place.ledger_worker("leaving", 8).arguments(["--grace", "2"]);
    let mut leaving = leaving.start().await;
    let mut long = Vec::new();
    for name in ["sleep", "sleep_deaf", "spin"] {
        long.push(stage.client.run(name, json!({ "seconds": 5 })).await);
    }
    for task in &long {
        stage.running(*task).await;
    }
    let mut short = Vec::new();
    for _ in 0..100 {
        short.push(stage.client.run("sleep", json!({ "seconds": 0.2 })).await);
    }
    eventually(SOON, "short tasks run too", async || {
        let running = stage.database.states().await.get("running").copied().unwrap_or(0);
        if running > 3 { Ok(()) } else { Err(format!("{running} run")) }
    })
    .await;

    let told = Instant::now();
    let status = leaving.terminate(SOON).await;
    let took = told.elapsed();
    assert!(status.success(), "{status}: {}", leaving.log());
    let after = stage.database.states().await;
    println!("shutdown: ended {:.1} s after SIGTERM with a grace of 2 s; then {after:?}", took.as_secs_f64());
    assert!(took >= GRACE, "it did not wait for what ran");
    assert_eq!(after.get("running"), None, "whoever ends in order leaves nothing behind");
    assert!(after.get("queued") > Some(&3), "the load was over before the signal");

    stage.worker.restart().await;
    for task in &short {
        let ended = stage.client.wait(*task, SOON).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(1)), "{ended}");
        assert_eq!(stage.executions(*task), 1, "a short task that ran was let finish");
    }
    for task in &long {
        let ended = stage.client.wait(*task, SOON).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(1)), "{ended}");
        assert_eq!(stage.outcomes(*task).await, ["interrupted", "succeeded"]);
        assert_eq!(stage.executions(*task), 2);
    }
    assert_eq!(stage.database.number("SELECT count(*) FROM task WHERE losses > 0").await, 0, "nothing was lost");
}
