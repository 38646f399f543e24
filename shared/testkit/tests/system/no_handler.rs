//! A task whose handler no present worker has: handed back, with the reason for people to see, until one comes.

use caraway_testkit::{Launch, eventually};
use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_task_waits_for_a_worker_that_has_its_handler() {
    let mut stage = Stage::start("no-handler").await;
    // the type is announced once, by a worker that then goes away
    let greeter =
        || Launch::new(&stage.place, "worker", "other").arguments(["--demo-tasks"]).arguments(stage.place.serving(4));
    let mut other = greeter().start().await;
    other.terminate(SOON).await;

    let task = stage.client.run("add", json!({ "x": 1, "y": 2 })).await;
    eventually(SOON, "the task says why it waits", async || {
        let document = stage.client.show(task).await;
        if document["waiting_reason"] == "no_handler" { Ok(()) } else { Err(document.to_string()) }
    })
    .await;
    // its neighbours are not held up
    let neighbour = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(stage.client.wait(neighbour, SOON).await["state"], "succeeded");
    assert!(stage.worker.counters().await.sum("caraway_handed_back_total") >= 1);

    let _other = greeter().start().await;
    let ended = stage.client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("succeeded"), &json!(3)), "{ended}");
    assert_eq!(ended["waiting_reason"], json!(null), "{ended}");
}
