//! New tasks like those that have ended: one, many by id, many by a search.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Recorder, id, submit::with};

const UNKNOWN: &str = "018f4b2e-7b1c-7000-8000-000000000001";

/// It fails, at its only attempt, and has something of everything that the new one inherits.
async fn failed(it: &Recorder, name: &str, kwargs: Value) -> String {
    let mut task = it.task(name, kwargs);
    let more = json!({
        "priority": 7, "tags": ["a"], "metadata": { "k": 1.0 }, "timeout": 9, "soft_timeout": 8, "result_ttl": 600,
        "retry": { "max_attempts": 1 },
    });
    task.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let task = it.quietly(task).await;
    it.until(&task, "failed").await;
    task
}

#[tokio::test]
async fn retries() {
    let mut it = Recorder::start("retries").await;
    it.hold().await;
    one(&mut it).await;
    many(&mut it).await;
    by_search(&mut it).await;
    it.get("what was done", "/v1/audit").await;
    it.finish();
}

async fn one(it: &mut Recorder) {
    let old = failed(it, "fail", json!({ "times": 1 })).await;
    let path = format!("/v1/tasks/{old}/retry");
    let new = id(&it.post("one that has failed", &path, json!({})).await);
    it.until(&new, "failed").await;
    it.show("the new one", &new).await;
    it.get("the old one", &format!("/v1/tasks/{old}")).await;
    let key = [("idempotency-key", "once")];
    for title in ["with a key", "with the same key again"] {
        let again = it.send(title, Method::POST, &path, &key, None).await;
        it.until(&id(&again), "failed").await;
    }
    let queued = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    it.post("one that is queued", &format!("/v1/tasks/{queued}/retry"), json!({})).await;
    it.post("one that is not there", &format!("/v1/tasks/{UNKNOWN}/retry"), json!({})).await;
    it.post("with something else", &path, json!({ "x": 1 })).await;
    let held = with(it.held_task("say", json!({ "token": "a" })), "unique", json!({ "key": "k" }));
    let cancelled = it.quietly(held).await;
    it.post("a unique one is cancelled", &format!("/v1/tasks/{cancelled}/cancel"), json!({})).await;
    for title in ["a unique one is retried", "and again"] {
        it.post(title, &format!("/v1/tasks/{cancelled}/retry"), json!({})).await;
    }
}

async fn many(it: &mut Recorder) {
    let first = failed(it, "fail", json!({ "times": 1 })).await;
    let second = failed(it, "echo", json!({ "message": "fail" })).await;
    let queued = it.quietly(it.held_task("say", json!({ "token": "a" }))).await;
    let ids = json!([second, UNKNOWN, queued, first]);
    it.post("many by id, to see what would be", "/v1/tasks/actions/retry", json!({ "ids": ids, "dry_run": true }))
        .await;
    let answer = it.post("many by id", "/v1/tasks/actions/retry", json!({ "ids": ids })).await;
    ended(it, &answer).await;
    let batch = answer["batch_id"].as_str().expect("an id");
    it.pages("they are a batch", &format!("/v1/tasks?batch_id={batch}")).await;
}

async fn by_search(it: &mut Recorder) {
    let path = "/v1/tasks/actions/retry";
    for _ in 0..4 {
        failed(it, "panic", json!({})).await;
    }
    let code = it.peek("/v1/tasks?name=panic&limit=1").await["data"][0]["error"]["code"].clone();
    let filter = json!({ "error_code": code, "name": "panic", "queue": it.main(), "state": "failed" });
    it.post("by a search, to see what would be", path, json!({ "filter": filter, "dry_run": true })).await;
    let first = it.post("by a search, three of them", path, json!({ "filter": filter, "limit": 3 })).await;
    ended(it, &first).await;
    let rest = json!({ "filter": filter, "cursor": first["next_cursor"] });
    let second =
        it.send("by a search, the rest", Method::POST, path, &[("idempotency-key", "rest")], Some(rest.clone())).await;
    ended(it, &second).await;
    it.send("with the same key again", Method::POST, path, &[("idempotency-key", "rest")], Some(rest)).await;
    let none = json!({ "filter": { "created_after": "2600-01-01T00:00:00Z" } });
    it.post("by a time", path, none).await;
    for body in [
        json!({}),
        json!({ "ids": [] }),
        json!({ "filter": { "state": "queued" } }),
        json!({ "filter": {}, "limit": 1001 }),
        json!({ "filter": {}, "cursor": "x" }),
    ] {
        it.post("a search that is none", path, body).await;
    }
}

/// Waits until all that were made have failed as well.
async fn ended(it: &Recorder, answer: &Value) {
    for task in answer["tasks"].as_array().expect("a list").iter().filter_map(|entry| entry["id"].as_str()) {
        it.until(task, "failed").await;
    }
}
