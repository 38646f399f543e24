//! Must-show 3: a worker that slept through its lease cannot overwrite the outcome of the newer attempt.
//!
//! This test fails when `t.epoch = o.epoch` is left out of the guards in `shared/src/store/tasks/record.rs`: the woken
//! worker's result arrives while the newer attempt still runs, so that the state alone would let it in.

use std::time::Duration;

use caraway_testkit::eventually;
use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_frozen_worker_cannot_overwrite_the_newer_attempt() {
    let mut stage = Stage::start("frozen").await;
    // one ends with a result in spite of all, the other one stops when it is told to
    let deaf = stage.client.run("sleep_deaf", json!({ "seconds": 6 })).await;
    let obedient = stage.client.run("sleep", json!({ "seconds": 6 })).await;
    for task in [deaf, obedient] {
        stage.running(task).await;
    }
    stage.worker.freeze();
    let mut newer = stage.worker("worker-2").await;
    for task in [deaf, obedient] {
        eventually(Duration::from_mins(1), "the newer attempt runs", async || {
            let executions = stage.executions(task);
            if executions == 2 { Ok(()) } else { Err(format!("{executions} executions")) }
        })
        .await;
    }
    stage.worker.thaw();
    eventually(SOON, "both late records are refused", async || {
        let refused = stage.worker.counters().await.sum("caraway_records_refused_total");
        if refused >= 2 { Ok(()) } else { Err(format!("{refused} refused")) }
    })
    .await;

    for task in [deaf, obedient] {
        let ended = stage.client.wait(task, SOON).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        assert_eq!((&ended["result"]["epoch"], &ended["result"]["pid"]), (&json!(2), &json!(newer.pid())), "{ended}");
        assert_eq!(stage.outcomes(task).await, ["lost", "succeeded"]);
        assert_eq!(stage.executions(task), 2);
    }
    let newer = newer.counters().await;
    assert_eq!(newer.sum("caraway_records_refused_total"), 0, "the newer attempt was not disturbed");
    assert_eq!((newer.sum("caraway_sessions_declared_dead_total"), newer.sum("caraway_rescued_total")), (1, 2));

    // the woken worker has a new session and works again
    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded");
    assert_eq!(stage.database.number("SELECT count(*) FROM session WHERE NOT dead").await, 2);
}
