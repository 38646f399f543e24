//! Delays: not before its time, and soon after it.

use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_delayed_task_starts_at_its_time() {
    let mut stage = Stage::start("delay").await;
    let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
    task["delay"] = json!(1.5);
    let task = stage.client.submit(task).await;
    let document = stage.client.show(task).await;
    assert_eq!(document["state"], "scheduled", "{document}");
    assert!(document["run_at"].is_string(), "{document}");

    stage.client.wait(task, SOON).await;
    let waited = "SELECT (extract(epoch FROM started_at - created_at) * 1000)::bigint FROM task";
    let waited_ms = stage.database.number(waited).await;
    println!("delay: started {waited_ms} ms after acceptance, 1500 were asked for");
    assert!((1_500..6_500).contains(&waited_ms), "started after {waited_ms} ms");
    assert!(stage.worker.counters().await.sum("caraway_promoted_total") >= 1);
}
