//! Expiry: a task that has not started by its `expires_at` is over then, wherever it stands.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

fn in_seconds(seconds: i64) -> String {
    let at = Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).expect("a time");
    at.to_string()
}

/// It fails once, would be tried again in ten minutes, and expires in some seconds.
fn waits_too_long(stage: &Stage, seconds: i64) -> Value {
    let mut task = stage.client.task("fail", json!({ "times": 1 }));
    task["retry"] = json!({ "jitter": 0, "backoff": { "type": "constant", "initial": 600 } });
    task["expires_at"] = json!(in_seconds(seconds));
    task
}

#[tokio::test]
async fn a_task_that_waits_for_another_attempt_expires_and_frees_its_key() {
    let stage = Stage::start("expiry-retry").await;
    let mut task = waits_too_long(&stage, 6);
    task["unique"] = json!({ "key": "one" });
    let first = stage.client.submit(task.clone()).await;
    let waits = stage.client.wait_for(first, &["scheduled"], Duration::from_secs(5)).await;
    let (start, expiry) =
        (waits["run_at"].as_str().unwrap_or_default(), waits["expires_at"].as_str().unwrap_or_default());
    assert!(start > expiry, "the document tells when it would start: {waits}");
    let ended = stage.client.wait(first, SOON).await;
    assert_eq!((&ended["state"], &ended["run_at"]), (&json!("expired"), &json!(null)), "{ended}");
    let late = "SELECT floor(extract(epoch FROM max(finished_at - expires_at)) * 1000)::bigint FROM task";
    let late_ms = stage.database.number(late).await;
    println!("expiry: a scheduled task expired {late_ms} ms after its time");
    assert!((0..5000).contains(&late_ms), "{late_ms} ms late");
    task["expires_at"] = json!(null);
    let second = stage.client.submit(task).await;
    assert_ne!(second, first, "the key is free");
    stage.client.cancel(second).await;
}

/// Its new start comes before its expiry, so the later one is told no more.
#[tokio::test]
async fn a_task_that_would_have_expired_can_be_moved() {
    let stage = Stage::start("expiry-moved").await;
    let task = stage.client.submit(waits_too_long(&stage, 60)).await;
    stage.client.wait_for(task, &["scheduled"], SOON).await;
    let url = format!("{}/v1/tasks/{task}", stage.api.url());
    let moved = reqwest::Client::new().patch(url).json(&json!({ "delay": 2 })).send().await.expect("the API answers");
    let moved: Value = moved.json().await.expect("a document");
    assert!(moved["run_at"].as_str() < moved["expires_at"].as_str(), "{moved}");
    assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded");
}

#[tokio::test]
async fn a_node_that_expires_while_it_is_scheduled_ends_its_chord() {
    let stage = Stage::start("expiry-chord").await;
    let chord = json!({
        "tasks": [waits_too_long(&stage, 4), stage.client.task("echo", json!({ "message": 1 }))],
        "body": stage.client.task("gather", json!({})),
    });
    let chord = stage.client.workflow("/v1/chords", &chord).await;
    let ended = stage.client.workflow_ended(chord, SOON).await;
    assert_eq!(ended["state"], "failed", "{ended}");
}

#[tokio::test]
async fn what_could_never_run_is_refused() {
    let stage = Stage::start("expiry-refused").await;
    let delayed = json!({ "delay": 600, "expires_at": in_seconds(60) });
    let ended = json!({ "expires_at": "2020-01-01T00:00:00Z" });
    let order = json!({ "run_at": "2998-01-01T00:00:00Z", "expires_at": "2997-01-01T00:00:00Z" });
    for times in [delayed, ended, order] {
        let mut task = stage.client.task("echo", json!({ "message": 1 }));
        for (name, value) in times.as_object().expect("an object") {
            task[name] = value.clone();
        }
        let (status, problem) = stage.client.post("/v1/tasks", &task).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/expires_at")), "{problem}");
        let (status, problem) = stage.client.post("/v1/groups", &json!({ "tasks": [task] })).await;
        assert_eq!(status, 422, "{problem}");
    }
    assert_eq!(stage.database.number("SELECT count(*) FROM task").await, 0);
}
