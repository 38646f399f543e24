//! Messages that are doubled, stale, forged or from the future do nothing.

use caraway_testkit::eventually;
use serde_json::json;

use crate::{
    quarantine::pointer,
    stage::{SOON, Stage},
};

#[tokio::test]
async fn repeated_and_forged_pointers_run_nothing_twice() {
    let mut stage = Stage::start("duplicates").await;
    let broker = stage.place.broker().await;
    let running = stage.client.run("sleep", json!({ "seconds": 3 })).await;
    stage.running(running).await;
    let ended = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    stage.client.wait(ended, SOON).await;
    let mut later = stage.client.task("sleep", json!({ "seconds": 0 }));
    later["delay"] = json!(3600);
    let later = stage.client.submit(later).await;

    for task in [running, ended, later] {
        for epoch in [-1, 0, 0, 1, 1, 2, i32::MAX] {
            broker.publish(stage.place.queue(), &pointer(task, epoch)).await;
        }
    }
    eventually(SOON, "every one of them was found to be stale", async || {
        let found = stage.worker.counters().await.sum("caraway_stale_pointers_total");
        if found >= 21 { Ok(()) } else { Err(format!("{found} were")) }
    })
    .await;

    assert_eq!(stage.client.wait(running, SOON).await["state"], "succeeded");
    assert_eq!(stage.client.show(later).await["state"], "scheduled", "its time has not come");
    assert_eq!([running, ended, later].map(|task| stage.executions(task)), [1, 1, 0]);
}
