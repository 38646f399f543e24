//! Cancelling: at once before the start, a request while it runs.

use reqwest::StatusCode;
use serde_json::json;

use crate::stage::{SLOTS, SOON, Stage};

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

/// A failure that would be tried again is not, once nobody wants the task any more.
#[tokio::test]
async fn a_retryable_failure_after_a_request_is_cancelled() {
    let stage = Stage::start("cancel-failing").await;
    let file = stage.place.folder().join("fail");
    let task = stage.client.task("fail_after", json!({ "file": file }));
    let tasks = stage.client.batch(&vec![task; SLOTS]).await;
    for task in &tasks {
        stage.running(*task).await;
    }
    for task in &tasks {
        assert_eq!(stage.client.cancel(*task).await.0, StatusCode::ACCEPTED);
    }
    // most of them fail before their worker has heard of the request
    std::fs::write(&file, "").expect("a file can be written");
    for task in tasks {
        let ended = stage.client.wait(task, SOON).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("cancelled"), &json!(1)), "{ended}");
        assert!(ended["cancel_requested_at"].is_string() && ended["finished_at"].is_string(), "{ended}");
        assert_eq!((stage.outcomes(task).await, stage.executions(task)), (vec!["cancelled".to_owned()], 1));
    }
}

/// The first terminal write wins: what is done before it has stopped has succeeded; what does not stop is ended.
#[tokio::test]
async fn whoever_does_not_listen_succeeds_in_time_or_is_ended() {
    let stage = Stage::start("cancel-deaf").await;
    let brief = stage.client.run("sleep_deaf", json!({ "seconds": 6 })).await;
    let long = stage.client.run("sleep_deaf", json!({ "seconds": 600 })).await;
    for task in [brief, long] {
        stage.running(task).await;
        assert_eq!(stage.client.cancel(task).await.0, StatusCode::ACCEPTED);
    }
    let ended = stage.client.wait(brief, SOON).await;
    assert_eq!((&ended["state"], &ended["result"]["epoch"]), (&json!("succeeded"), &json!(1)), "{ended}");
    assert!(ended["cancel_requested_at"].is_string());
    let ended = stage.client.wait(long, SOON).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("cancelled"), &json!(null)), "{ended}");
    // its slot is free, as all others are
    let after = vec![stage.client.task("sleep", json!({ "seconds": 1 })); SLOTS];
    for task in stage.client.batch(&after).await {
        assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded");
    }
}
