//! What there is: queues and what lies in them, workers, task types, and what was put aside.

use serde_json::json;

use super::{Recorder, submit::with};

#[tokio::test]
async fn catalogue() {
    let mut it = Recorder::start("catalogue").await;
    it.get("task types", "/v1/task-types").await;
    it.get("queues, all empty", "/v1/queues").await;
    let held = it.hold().await;
    for _ in 0..3 {
        it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    }
    it.quietly(with(it.held_task("say", json!({ "token": "a" })), "delay", json!(3600))).await;
    let running = it.quietly(it.task("report", it.waits_for("running"))).await;
    it.until(&running, "running").await;
    it.get("queues with something in them", "/v1/queues").await;
    it.until_it("/v1/workers", "data/0/queues/1/busy", "1").await;
    it.until_it("/v1/workers", "data/0/queues/0/busy", "1").await;
    it.get("workers", "/v1/workers").await;
    it.release("held");
    it.until(&held, "succeeded").await;
    it.until_it("/v1/tasks?state=queued", "data", "[]").await;
    it.release("running");
    it.until(&running, "succeeded").await;
    it.until_it("/v1/tasks?state=running", "data", "[]").await;
    it.get("queues, all empty again", "/v1/queues").await;
    it.pages("nothing was put aside", "/v1/quarantine").await;
    it.finish();
}
