//! `keep_latest`: one runs, one waits, and that one has the newest arguments.

use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn the_newest_runs_next_and_those_between_never() {
    let stage = Stage::start("keep-latest").await;
    let mut task = stage.client.task("sleep", json!({ "seconds": 1.5 }));
    task["unique"] = json!({ "key": "one", "on_conflict": "keep_latest" });
    let first = stage.client.submit(task.clone()).await;
    stage.running(first).await;
    task["kwargs"] = json!({ "seconds": 0.1 });
    let second = stage.client.submit(task.clone()).await;
    let third = stage.client.submit(task.clone()).await;
    for (id, state) in [(first, "succeeded"), (second, "cancelled"), (third, "succeeded")] {
        assert_eq!(stage.client.wait(id, SOON).await["state"], state);
    }
    assert_eq!([first, second, third].map(|id| stage.executions(id)), [1, 0, 1]);
    let (first, third) = (stage.client.show(first).await, stage.client.show(third).await);
    let time = |task: &serde_json::Value, what: &str| task[what].as_str().unwrap_or_default().to_owned();
    assert!(time(&third, "started_at") >= time(&first, "finished_at"), "one at a time");
}
