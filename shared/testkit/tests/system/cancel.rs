//! Cancelling: at once before the start, a request while it runs.

use reqwest::StatusCode;
use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_running_task_is_stopped() {
    let stage = Stage::start("cancel-running").await;
    let task = stage.client.run("sleep", json!({ "seconds": 600 })).await;
    stage.running(task).await;

    let (status, document) = stage.client.cancel(task).await;
    assert_eq!((status, &document["state"]), (StatusCode::ACCEPTED, &json!("running")), "{document}");
    let ended = stage.client.wait(task, SOON).await;

    assert_eq!((&ended["state"], &ended["result"]), (&json!("cancelled"), &json!(null)), "{ended}");
    assert_eq!(stage.outcomes(task).await, ["cancelled"]);
    let (status, _) = stage.client.cancel(task).await;
    assert_eq!(status, StatusCode::OK, "cancelling is safe to repeat");
}

#[tokio::test]
async fn a_task_that_has_not_started_never_does() {
    let stage = Stage::start("cancel-early").await;
    let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
    task["delay"] = json!(1);
    let task = stage.client.submit(task).await;

    let (status, document) = stage.client.cancel(task).await;
    assert_eq!((status, &document["state"]), (StatusCode::OK, &json!("cancelled")), "{document}");

    // a later one with the same delay has run: the first one's time has come and gone
    let mut other = stage.client.task("sleep", json!({ "seconds": 0 }));
    other["delay"] = json!(1);
    let other = stage.client.submit(other).await;
    stage.client.wait(other, SOON).await;
    assert_eq!(stage.client.show(task).await["state"], "cancelled");
    assert_eq!((stage.executions(task), stage.executions(other)), (0, 1));

    let (status, document) = stage.client.cancel(other).await;
    assert_eq!((status, &document["code"]), (StatusCode::CONFLICT, &json!("task_already_finished")));
}
