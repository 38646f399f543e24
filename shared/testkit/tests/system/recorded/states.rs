//! A task in every state, and after every kind of end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Recorder, submit::with};

#[tokio::test]
async fn states() {
    let mut it = Recorder::start("states").await;
    let held = it.hold().await;
    // it takes a second, and meanwhile the others are shown
    let expires = Timestamp::now().checked_add(SignedDuration::from_millis(1500)).expect("a time").to_string();
    let expiring = with(it.held_task("say", json!({ "token": "late" })), "expires_at", json!(expires));
    let expiring = it.submit("one that will expire", expiring).await;
    before_the_end(&mut it).await;
    failures(&mut it).await;
    attempts(&mut it).await;
    results(&mut it).await;
    cancelled(&mut it).await;
    it.until(&expiring, "expired").await;
    it.show("expired", &expiring).await;
    it.release("held");
    it.until(&held, "succeeded").await;
    it.show("what held the queue", &held).await;
    lost(&mut it).await;
    it.finish();
}

async fn before_the_end(it: &mut Recorder) {
    let task = it.quietly(with(it.held_task("say", json!({ "token": "a" })), "delay", json!(3600))).await;
    it.show("scheduled", &task).await;
    let task = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    it.show("queued", &task).await;
    let task = it.quietly(it.task("report", json!({ "steps": 1, "file": it.file("running") }))).await;
    it.until_it(&format!("/v1/tasks/{task}"), "progress/step", "1").await;
    it.show("running, with progress", &task).await;
    it.release("running");
    it.until(&task, "succeeded").await;
    it.show("succeeded, with progress", &task).await;
}

async fn failures(it: &mut Recorder) {
    let once = json!({ "max_attempts": 1 });
    for (title, name, kwargs, field, value) in [
        (
            "failed for good, with details",
            "mirror",
            json!({ "message": { "z": 1.50, "a": 2 }, "fail": true }),
            "priority",
            json!(4),
        ),
        ("failed after its only attempt", "fail", json!({ "times": 1 }), "retry", once.clone()),
        ("panicked", "panic", json!({}), "retry", once.clone()),
        ("arguments that do not fit", "fail", json!({ "times": "x" }), "priority", json!(4)),
        ("timed out", "sleep_deaf", json!({ "seconds": 60 }), "timeout", json!(0.2)),
        ("stopped by its soft limit", "sleep", json!({ "seconds": 60 }), "soft_timeout", json!(0.2)),
    ] {
        let mut task = with(it.task(name, kwargs), field, value);
        task["retry"] = once.clone();
        let task = it.quietly(task).await;
        it.until(&task, "failed").await;
        it.show(title, &task).await;
    }
}

/// Retried at once, so that nobody waits.
fn at_once(task: Value, attempts: u32) -> Value {
    with(
        task,
        "retry",
        json!({ "max_attempts": attempts, "jitter": 0, "backoff": { "type": "constant", "initial": 0.01 } }),
    )
}

async fn attempts(it: &mut Recorder) {
    let task = it.quietly(at_once(it.task("fail", json!({ "times": 2 })), 5)).await;
    it.until(&task, "succeeded").await;
    it.show("succeeded at the third attempt", &task).await;
    let task = it.quietly(at_once(it.task("fail", json!({ "times": 9 })), 3)).await;
    it.until(&task, "failed").await;
    it.show("failed three times", &task).await;
    let later = json!({ "jitter": 0, "backoff": { "type": "constant", "initial": 3600 } });
    let task = it.quietly(with(it.task("fail", json!({ "times": 1 })), "retry", later)).await;
    it.until(&task, "scheduled").await;
    it.show("failed once and scheduled again", &task).await;
    let codes = json!({ "retry_on": ["other"], "max_attempts": 5 });
    let task = it.quietly(with(it.task("fail", json!({ "times": 9 })), "retry", codes)).await;
    it.until(&task, "failed").await;
    it.show("failed with a code that is not retried", &task).await;
    let task = it.quietly(it.task("snooze", json!({ "times": 2 }))).await;
    it.until(&task, "succeeded").await;
    it.show("snoozed twice", &task).await;
}

async fn results(it: &mut Recorder) {
    for (title, name, kwargs, field, value) in [
        ("a large result", "large", json!({ "token": "x", "bytes": 300_000 }), "priority", json!(4)),
        ("null is a result", "echo", json!({ "message": null }), "priority", json!(4)),
        ("a result that was not kept", "echo", json!({ "message": 1 }), "store_result", json!(false)),
        ("a large integer", "mirror", json!({ "message": 123_456_789_012_345_678_u64 }), "tags", json!(["t"])),
    ] {
        let task = it.quietly(with(it.task(name, kwargs), field, value)).await;
        it.until(&task, "succeeded").await;
        it.show(title, &task).await;
    }
    let task = it.quietly(it.task("mirror", json!({ "message": 1, "submit": it.main() }))).await;
    it.until(&task, "succeeded").await;
    it.show("one that left another", &task).await;
    let child = it.peek(&format!("/v1/tasks/{task}")).await["result"].as_str().expect("an id").to_owned();
    it.until(&child, "succeeded").await;
    it.show("what it left", &child).await;
}

async fn cancelled(it: &mut Recorder) {
    let task = it.quietly(it.task("sleep", json!({ "seconds": 60 }))).await;
    it.until(&task, "running").await;
    it.post("a running one is to be cancelled", &format!("/v1/tasks/{task}/cancel"), json!({})).await;
    it.until(&task, "cancelled").await;
    it.show("cancelled while it ran", &task).await;
    let task = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    it.post("a queued one is cancelled", &format!("/v1/tasks/{task}/cancel"), json!({})).await;
    it.show("cancelled before it ran", &task).await;
}

/// Its worker dies, and comes back under its old name, so the loss is known at once.
async fn lost(it: &mut Recorder) {
    let task = it.quietly(with(it.task("abort", json!({})), "retry", json!({ "max_attempts": 1 }))).await;
    it.worker.wait_exit(Duration::from_secs(30)).await;
    it.show("its worker has died", &task).await;
    it.worker.restart().await;
    it.until(&task, "failed").await;
    it.show("failed with its worker", &task).await;
}
