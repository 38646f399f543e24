//! How tasks are submitted: every option, every refusal, and requests that are repeated.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Recorder, id};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn submissions() {
    let mut it = Recorder::start("submit").await;
    it.hold().await;
    plain(&mut it).await;
    options(&mut it).await;
    repeated(&mut it).await;
    refused(&mut it).await;
    it.finish();
}

async fn plain(it: &mut Recorder) {
    let task = it.submit("a plain task", it.task("echo", json!({ "message": { "z": 1.50, "a": [null, "ä"] } }))).await;
    it.until(&task, "succeeded").await;
    it.show("a plain task that has succeeded", &task).await;
    it.get("its document again", &format!("/v1/tasks/{task}")).await;
    it.get_again("its document with its tag", &format!("/v1/tasks/{task}")).await;
    it.get("its result again", &format!("/v1/tasks/{task}/result")).await;
    it.get_again("its result with its tag", &format!("/v1/tasks/{task}/result")).await;
    it.get("its document, waited for", &format!("/v1/tasks/{task}?wait=5")).await;
    let positional = json!({ "name": "echo", "args": ["by place"], "queue": it.main() });
    let wait = [("prefer", "wait=20")];
    it.send("a task that is waited for", Method::POST, "/v1/tasks", &wait, Some(positional)).await;
    let slow = it.held_task("say", json!({ "token": "a" }));
    it.send("a wait that ends first", Method::POST, "/v1/tasks", &[("prefer", "wait=1")], Some(slow)).await;
}

async fn options(it: &mut Recorder) {
    let mut all = it.held_task("say", json!({ "token": "a" }));
    let more = json!({
        "priority": 9, "delay": 0, "expires_at": "2600-01-01T00:00:00Z", "timeout": 60.5, "soft_timeout": 30,
        "retry": {
            "max_attempts": 7, "jitter": 0.5, "max_retry_duration": 3600, "retry_on": ["asked_*"], "no_retry_on": ["timed_out"],
            "backoff": { "type": "linear", "initial": 1, "factor": 3, "max": 60 },
        },
        "result_ttl": 86400, "store_result": false, "tags": ["red", "ä"], "metadata": { "z": 1.50, "a": { "b": null } },
        "unique": { "key": "all", "while": "incomplete", "on_conflict": "return_existing" },
    });
    all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let headers = [("idempotency-key", "all"), ("traceparent", TRACE)];
    let answer = it.send("all options", Method::POST, "/v1/tasks", &headers, Some(all)).await;
    it.show("all options", &id(&answer)).await;
    let child = with(it.held_task("say", json!({ "token": "b" })), "parent_id", answer["id"].clone());
    let child = it.submit("a child", child).await;
    let grandchild = with(it.held_task("say", json!({ "token": "c" })), "parent_id", child.into());
    it.submit("a grandchild", grandchild).await;
    for (title, field, value) in [
        ("later, by delay", "delay", json!(3600)),
        ("later, by a time", "run_at", json!("2600-01-01T00:00:00.123456Z")),
        ("in the past, so at once", "run_at", json!("2001-01-01T00:00:00Z")),
        ("the least urgent", "priority", json!(0)),
        ("no other attempt", "retry", json!({ "max_attempts": 1 })),
        ("nothing kept after its end", "result_ttl", json!(0)),
        ("no limit of time said", "timeout", json!(null)),
    ] {
        let task = with(it.held_task("say", json!({ "token": "d" })), field, value);
        let task = it.submit(title, task).await;
        it.get(&format!("{title}: its document"), &format!("/v1/tasks/{task}")).await;
    }
    let large = it.held_task("say", json!({ "token": "x".repeat(200_000) }));
    let large = it.submit("a large input", large).await;
    it.get("a large input: its document", &format!("/v1/tasks/{large}")).await;
}

async fn repeated(it: &mut Recorder) {
    let task = it.held_task("say", json!({ "token": "once" }));
    let key = [("idempotency-key", "once")];
    for title in ["with a key", "with the same key again"] {
        it.send(title, Method::POST, "/v1/tasks", &key, Some(task.clone())).await;
    }
    let other = it.held_task("say", json!({ "token": "other" }));
    it.send("with the same key another body", Method::POST, "/v1/tasks", &key, Some(other)).await;
    let gone = [("idempotency-key", "gone")];
    let done = it.task("echo", json!({ "message": 1 }));
    let first = it.send("with a key, and then deleted", Method::POST, "/v1/tasks", &gone, Some(done.clone())).await;
    it.until(&id(&first), "succeeded").await;
    it.send("it is deleted", Method::DELETE, &format!("/v1/tasks/{}", id(&first)), &[], None).await;
    it.send("with the key of what is gone", Method::POST, "/v1/tasks", &gone, Some(done)).await;
}

async fn refused(it: &mut Recorder) {
    let unknown = "018f4b2e-7b1c-7000-8000-000000000001";
    for (title, task) in [
        ("an unknown task", json!({ "name": "nobody" })),
        ("an unknown queue", json!({ "name": "say", "kwargs": { "token": "a" }, "queue": "nowhere" })),
        ("an argument too many", json!({ "name": "say", "kwargs": { "token": "a", "more": 1 }, "queue": it.main() })),
        ("an unknown field", with(it.held_task("say", json!({ "token": "a" })), "prio", json!(1))),
        ("a priority that is none", with(it.held_task("say", json!({ "token": "a" })), "priority", json!(10))),
        (
            "expired before it starts",
            with(it.held_task("say", json!({ "token": "a" })), "expires_at", json!("2001-01-01T00:00:00Z")),
        ),
        ("a parent that is not there", with(it.held_task("say", json!({ "token": "a" })), "parent_id", json!(unknown))),
        ("a tag twice", with(it.held_task("say", json!({ "token": "a" })), "tags", json!(["a", "a"]))),
    ] {
        it.post(title, "/v1/tasks", task).await;
    }
    for path in ["", "/result", "/attempts"] {
        it.get("what is not there", &format!("/v1/tasks/{unknown}{path}")).await;
    }
}

/// The task with one more field.
pub(super) fn with(mut task: Value, field: &str, value: Value) -> Value {
    task[field] = value;
    task
}
