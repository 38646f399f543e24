//! What is done to tasks that are there: moved in time, run now, cancelled, deleted; and what cannot be done.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Recorder, submit::with};

const UNKNOWN: &str = "018f4b2e-7b1c-7000-8000-000000000001";

#[tokio::test]
async fn changes() {
    let mut it = Recorder::start("changes").await;
    it.hold().await;
    moved(&mut it).await;
    deleted(&mut it).await;
    cancelled(&mut it).await;
    many_cancelled(&mut it).await;
    it.get("what was done", "/v1/audit").await;
    it.finish();
}

async fn moved(it: &mut Recorder) {
    let later = with(it.task("echo", json!({ "message": 1 })), "delay", json!(3600));
    let task = it.quietly(with(later, "expires_at", json!("2700-01-01T00:00:00Z"))).await;
    let path = format!("/v1/tasks/{task}");
    for (title, change) in [
        ("moved to a time", json!({ "run_at": "2600-01-01T00:00:00Z" })),
        ("moved behind its expiry", json!({ "run_at": "2800-01-01T00:00:00Z" })),
        ("moved by nothing", json!({})),
        ("moved in two ways", json!({ "delay": 1, "run_at": "2600-01-01T00:00:00Z" })),
        ("changed otherwise", json!({ "priority": 9 })),
        ("moved by seconds", json!({ "delay": 7200 })),
    ] {
        it.send(title, Method::PATCH, &path, &[], Some(change)).await;
    }
    it.get("after that", &path).await;
    it.send("run now", Method::PATCH, &path, &[], Some(json!({ "delay": 0 }))).await;
    it.until(&task, "succeeded").await;
    it.show("after it was run now", &task).await;
    it.send("moved after its end", Method::PATCH, &path, &[], Some(json!({ "delay": 0 }))).await;
    let queued = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    it.send("moved while queued", Method::PATCH, &format!("/v1/tasks/{queued}"), &[], Some(json!({ "delay": 5 })))
        .await;
    it.send(
        "what is not there is moved",
        Method::PATCH,
        &format!("/v1/tasks/{UNKNOWN}"),
        &[],
        Some(json!({ "delay": 5 })),
    )
    .await;
}

async fn deleted(it: &mut Recorder) {
    let queued = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    it.send("deleted while queued", Method::DELETE, &format!("/v1/tasks/{queued}"), &[], None).await;
    let retry = json!({ "jitter": 0, "backoff": { "type": "constant", "initial": 0.01 } });
    let task = with(it.task("fail", json!({ "times": 1 })), "retry", retry);
    let task = it.quietly(with(task, "tags", json!(["doomed"]))).await;
    it.until(&task, "succeeded").await;
    it.send("deleted after its end", Method::DELETE, &format!("/v1/tasks/{task}"), &[], None).await;
    it.show("deleted", &task).await;
    it.get("its tag finds nothing", "/v1/tasks?tag=doomed").await;
    it.send("deleted again", Method::DELETE, &format!("/v1/tasks/{task}"), &[], None).await;
}

async fn cancelled(it: &mut Recorder) {
    let later = it.quietly(with(it.held_task("say", json!({ "token": "a" })), "delay", json!(3600))).await;
    let path = format!("/v1/tasks/{later}/cancel");
    for title in ["a scheduled one is cancelled", "and again"] {
        it.post(title, &path, json!({})).await;
    }
    let running = it.quietly(it.task("fail_after", json!({ "file": it.file("deaf") }))).await;
    it.until(&running, "running").await;
    let path = format!("/v1/tasks/{running}/cancel");
    for title in ["a running one is to be cancelled", "and is asked again"] {
        it.post(title, &path, json!({})).await;
    }
    it.show("running, and to be cancelled", &running).await;
    it.release("deaf");
    it.until(&running, "cancelled").await;
    it.show("cancelled at its end", &running).await;
    let done = it.quietly(it.task("echo", json!({ "message": 1 }))).await;
    it.until(&done, "succeeded").await;
    it.post("what has succeeded is cancelled", &format!("/v1/tasks/{done}/cancel"), json!({})).await;
    it.post("what is not there is cancelled", &format!("/v1/tasks/{UNKNOWN}/cancel"), json!({})).await;
}

async fn many_cancelled(it: &mut Recorder) {
    let path = "/v1/tasks/actions/cancel";
    let queued = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    let later = it.quietly(with(it.held_task("say", json!({ "token": "a" })), "delay", json!(3600))).await;
    let running = it.quietly(it.task("report", it.waits_for("many"))).await;
    it.until(&running, "running").await;
    let done = it.quietly(it.task("echo", json!({ "message": 1 }))).await;
    it.until(&done, "succeeded").await;
    let ids = json!([queued, running, done, later, UNKNOWN]);
    it.post("many by id, to see what would be", path, json!({ "ids": ids, "dry_run": true })).await;
    it.post("many by id", path, json!({ "ids": ids })).await;
    it.post("many by id again", path, json!({ "ids": [queued, later] })).await;
    it.release("many");
    it.until(&running, "succeeded").await;
    it.show("it did not listen", &running).await;
    for index in 0..5 {
        let task = with(it.held_task("echo", json!({ "message": index })), "tags", json!(["red"]));
        it.quietly(if index == 4 { with(task, "delay", json!(3600)) } else { task }).await;
    }
    let filter = json!({ "name": "echo", "queue": it.held(), "state": "queued,scheduled" });
    it.post("by a search, to see what would be", path, json!({ "filter": filter, "dry_run": true })).await;
    let mut page = json!({ "filter": filter, "limit": 2 });
    let first = it.post("by a search, two of them", path, page.clone()).await;
    page["cursor"] = first["next_cursor"].clone();
    page["limit"] = json!(1);
    it.post("by a search, one more", path, page).await;
    it.post("by a tag", path, json!({ "filter": { "tag": "red" } })).await;
    it.get("what is left of the tag", "/v1/tasks?tag=red").await;
    for body in [
        json!({}),
        json!({ "ids": [] }),
        json!({ "ids": [UNKNOWN, UNKNOWN] }),
        json!({ "filter": { "state": "succeeded" } }),
        json!({ "filter": { "tag": "a", "name": "say" } }),
    ] {
        it.post("a search that is none", path, body).await;
    }
    it.post("by a time", path, json!({ "filter": { "created_before": "2001-01-01T00:00:00Z" } })).await;
    let _: Value =
        it.post("all that is left", path, json!({ "filter": { "queue": it.held(), "state": "queued" } })).await;
}
