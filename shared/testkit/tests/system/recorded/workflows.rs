//! Workflows of every kind: created, shown while they run and after their end, cancelled, retried, listed, deleted.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Recorder, id, submit::with};

const UNKNOWN: &str = "018f4b2e-7b1c-7000-8000-000000000001";

fn echo(it: &Recorder, message: Value) -> Value {
    it.task("echo", json!({ "message": message }))
}

fn node(key: &str, task: Value, depends_on: Value) -> Value {
    json!({ "key": key, "task": task, "depends_on": depends_on })
}

#[tokio::test]
async fn workflow_kinds() {
    let mut it = Recorder::start("workflow-kinds").await;
    let reference = |text: &str| json!({ "$ref": text });
    for (title, path, body) in [
        ("a group", "/v1/groups", json!({ "tasks": [echo(&it, json!("A")), echo(&it, json!({ "z": 1.50, "a": 2 }))] })),
        ("an empty group", "/v1/groups", json!({ "tasks": [] })),
        (
            "a chain",
            "/v1/chains",
            json!({ "steps": [{ "task": echo(&it, json!(1.50)) }, { "task": { "name": "echo", "queue": it.main() } },
            { "task": echo(&it, json!("anew")), "immutable": true }] }),
        ),
        (
            "a chord",
            "/v1/chords",
            json!({ "tasks": [echo(&it, json!(0)), echo(&it, json!(1))], "body": it.task("gather", json!({})) }),
        ),
        (
            "a map",
            "/v1/map",
            json!({ "task": { "name": "echo", "queue": it.main() }, "items": [1, "b", [3], 4, 5], "chunk": 2, "max_in_flight": 1 }),
        ),
        (
            "a group with failures",
            "/v1/groups",
            json!({ "tasks": [echo(&it, json!(1)), echo(&it, json!("fail"))], "return_exceptions": true }),
        ),
        (
            "a diamond",
            "/v1/workflows",
            json!({ "nodes": [
            node("top", echo(&it, json!({ "left": [1.5, 2], "right": "r" })), json!([])),
            node("left", echo(&it, reference("nodes.top.result.left.1")), json!([{ "node": "top" }])),
            node("right", echo(&it, reference("nodes.top.result.right")), json!([{ "node": "top" }])),
            node("end", echo(&it, json!({ "all": reference("dependencies.results"), "how": reference("nodes.left.state") })),
                json!([{ "node": "right" }, { "node": "left" }])),
        ] }),
        ),
    ] {
        let workflow = id(&it.post(title, path, body).await);
        it.until_ended(&workflow).await;
        show(&mut it, title, &workflow).await;
    }
    refused(&mut it).await;
    it.pages("all of them", "/v1/workflows").await;
    it.pages("the body of the chord", "/v1/tasks?name=gather").await;
    it.finish();
}

/// Its document, its results, and the tasks of its nodes.
async fn show(it: &mut Recorder, title: &str, workflow: &str) -> Value {
    let path = format!("/v1/workflows/{workflow}");
    let document = it.get(&format!("{title}: its document"), &path).await;
    it.get_again(&format!("{title}: with its tag"), &path).await;
    it.get(&format!("{title}: its results"), &format!("{path}/results")).await;
    document
}

async fn show_tasks(it: &mut Recorder, title: &str, document: &Value) {
    for node in document["nodes"]["data"].as_array().expect("a page of nodes") {
        let task = node["task_id"].as_str().expect("an id");
        it.show(&format!("{title}: {}", node["key"].as_str().expect("a key")), task).await;
    }
}

async fn refused(it: &mut Recorder) {
    for (path, body) in [
        ("/v1/workflows", json!({})),
        ("/v1/workflows", json!({ "nodes": [node("a", echo(it, json!(1)), json!([{ "node": "b" }]))] })),
        ("/v1/workflows", json!({ "nodes": [node("a", echo(it, json!({ "$ref": "nodes.b.result" })), json!([]))] })),
        (
            "/v1/workflows",
            json!({ "nodes": [node("a", with(echo(it, json!(1)), "unique", json!({ "key": "k" })), json!([]))] }),
        ),
        ("/v1/groups", json!({ "tasks": [echo(it, json!(1)), { "name": "nobody" }] })),
        ("/v1/map", json!({ "task": { "name": "echo" }, "items": [1], "chunk": 0 })),
    ] {
        it.post("what is none", path, body).await;
    }
    for (method, path) in [
        (Method::GET, ""),
        (Method::GET, "/results"),
        (Method::POST, "/cancel"),
        (Method::POST, "/retry"),
        (Method::DELETE, ""),
    ] {
        it.send("what is not there", method, &format!("/v1/workflows/{UNKNOWN}{path}"), &[], None).await;
    }
}

#[tokio::test]
async fn workflow_lives() {
    let mut it = Recorder::start("workflow-lives").await;
    it.hold().await;
    under_way(&mut it).await;
    forms(&mut it).await;
    cancelled(&mut it).await;
    retried(&mut it).await;
    expired(&mut it).await;
    grown(&mut it).await;
    it.pages("all of them", "/v1/workflows").await;
    it.get("what was done", "/v1/audit").await;
    it.finish();
}

/// One has ended, one runs, one is queued, the rest waits; then it goes on.
async fn under_way(it: &mut Recorder) {
    let queued = it.held_task("say", json!({ "token": "a" }));
    let body = json!({ "fail_fast": false, "max_in_flight": 5, "nodes": [
        node("done", with(echo(it, json!(1)), "tags", json!(["node"])), json!([])),
        node("runs", it.task("report", it.waits_for("node")), json!([{ "node": "done" }])),
        node("queued", queued, json!([{ "node": "done" }])),
        node("later", with(echo(it, json!(2)), "delay", json!(3600)), json!([{ "node": "done" }])),
        node("waits", echo(it, json!({ "$ref": "nodes.runs.state" })), json!([{ "node": "runs", "when": "finished" }])),
        node("last", with(it.task("mirror", json!({ "message": { "$ref": "nodes.queued.state" } })), "priority", json!(9)), json!([{ "node": "queued", "when": "failed" }])),
    ] });
    let headers =
        [("idempotency-key", "workflow"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let workflow = id(&it.send("under way", Method::POST, "/v1/workflows", &headers, Some(body.clone())).await);
    let document = it.peek(&format!("/v1/workflows/{workflow}")).await;
    let task = |index: usize| document["nodes"]["data"][index]["task_id"].as_str().expect("an id").to_owned();
    it.until(&task(1), "running").await;
    it.until(&task(2), "queued").await;
    it.until(&task(3), "scheduled").await;
    it.send("with the same key again", Method::POST, "/v1/workflows", &headers, Some(body)).await;
    let document = show(it, "under way", &workflow).await;
    it.get("under way: two nodes", &format!("/v1/workflows/{workflow}?limit=2")).await;
    it.get(
        "under way: the next two",
        &format!("/v1/workflows/{workflow}?limit=2&cursor={}", next(it, &workflow).await),
    )
    .await;
    show_tasks(it, "under way", &document).await;
    it.pages("under way: one that waits", "/v1/tasks?state=waiting&name=mirror").await;
    it.pages("under way: by a tag", "/v1/tasks?tag=node").await;
    it.send("a node is deleted", Method::DELETE, &format!("/v1/tasks/{}", task(0)), &[], None).await;
    it.post("a node is retried", &format!("/v1/tasks/{}/retry", task(0)), json!({})).await;
    it.post("a queued node is cancelled", &format!("/v1/tasks/{}/cancel", task(2)), json!({})).await;
    it.send(
        "a scheduled node is run now",
        Method::PATCH,
        &format!("/v1/tasks/{}", task(3)),
        &[],
        Some(json!({ "delay": 0 })),
    )
    .await;
    it.release("node");
    it.until_ended(&workflow).await;
    let document = show(it, "after its end", &workflow).await;
    show_tasks(it, "after its end", &document).await;
    for title in ["deleted", "deleted again"] {
        it.send(title, Method::DELETE, &format!("/v1/workflows/{workflow}"), &[], None).await;
    }
    it.get("after it was deleted", &format!("/v1/workflows/{workflow}")).await;
}

async fn next(it: &Recorder, workflow: &str) -> String {
    let page = it.peek(&format!("/v1/workflows/{workflow}?limit=2")).await;
    page["nodes"]["next_cursor"].as_str().expect("a cursor").into()
}

/// What becomes of those that depend on a failure.
async fn forms(it: &mut Recorder) {
    let both = json!([{ "node": "bad" }, { "node": "good" }]);
    let form = |it: &Recorder, key: &str| {
        with(
            node(key, echo(it, json!({ "$ref": "nodes.bad.error.code" })), both.clone()),
            "on_dependency_failure",
            json!(key),
        )
    };
    let when = |it: &Recorder, key: &str, when: &str, of: &str| {
        node(key, echo(it, json!(key)), json!([{ "node": of, "when": when }]))
    };
    let body = json!({ "fail_fast": false, "nodes": [
        node("bad", echo(it, json!("fail")), json!([])), node("good", echo(it, json!("good")), json!([])),
        form(it, "cancel"), form(it, "run"), form(it, "ignore"),
        when(it, "behind", "succeeded", "cancel"), when(it, "care", "failed", "bad"), when(it, "no-care", "failed", "good"),
        when(it, "finally", "finished", "cancel"), node("nowhere", echo(it, json!({ "$ref": "nodes.good.result.no" })), json!([{ "node": "good" }])),
    ] });
    let workflow = id(&it.post("forms", "/v1/workflows", body).await);
    it.until_ended(&workflow).await;
    let document = show(it, "forms", &workflow).await;
    show_tasks(it, "forms", &document).await;
}

async fn cancelled(it: &mut Recorder) {
    let body = json!({ "nodes": [
        node("done", echo(it, json!(1)), json!([])),
        node("runs", it.task("sleep", json!({ "seconds": 60 })), json!([{ "node": "done" }])),
        node("after", echo(it, json!(2)), json!([{ "node": "runs", "when": "finished" }])),
    ] });
    let workflow = id(&it.post("to be cancelled", "/v1/workflows", body).await);
    let document = it.peek(&format!("/v1/workflows/{workflow}")).await;
    it.until(document["nodes"]["data"][1]["task_id"].as_str().expect("an id"), "running").await;
    it.send("deleted while it runs", Method::DELETE, &format!("/v1/workflows/{workflow}"), &[], None).await;
    it.post("retried while it runs", &format!("/v1/workflows/{workflow}/retry"), json!({})).await;
    it.post("cancelled", &format!("/v1/workflows/{workflow}/cancel"), json!({})).await;
    it.until_ended(&workflow).await;
    it.post("cancelled after its end", &format!("/v1/workflows/{workflow}/cancel"), json!({})).await;
    let document = show(it, "cancelled", &workflow).await;
    show_tasks(it, "cancelled", &document).await;
    let tasks = [
        with(it.task("fail_after", json!({ "file": it.file("fast") })), "retry", json!({ "max_attempts": 1 })),
        it.task("sleep", json!({ "seconds": 60 })),
        it.held_task("say", json!({ "token": "a" })),
    ];
    let workflow = id(&it.post("fails fast", "/v1/groups", json!({ "tasks": tasks })).await);
    let document = it.peek(&format!("/v1/workflows/{workflow}")).await;
    it.until(document["nodes"]["data"][1]["task_id"].as_str().expect("an id"), "running").await;
    it.release("fast");
    it.until_ended(&workflow).await;
    let document = it.get("failed fast", &format!("/v1/workflows/{workflow}")).await;
    it.get("failed fast: its results", &format!("/v1/workflows/{workflow}/results")).await;
    it.get(
        "failed fast: what was in the queue",
        &format!("/v1/tasks/{}", document["nodes"]["data"][2]["task_id"].as_str().expect("an id")),
    )
    .await;
}

async fn retried(it: &mut Recorder) {
    let once = with(it.task("fail", json!({ "times": 1 })), "retry", json!({ "max_attempts": 1 }));
    let body = json!({ "nodes": [
        node("good", echo(it, json!(1)), json!([])),
        node("bad", once, json!([{ "node": "good" }])),
        node("after", echo(it, json!({ "$ref": "nodes.good.result" })), json!([{ "node": "bad" }, { "node": "good" }])),
    ] });
    let workflow = id(&it.post("one that fails", "/v1/workflows", body).await);
    it.until_ended(&workflow).await;
    let key = [("idempotency-key", "again")];
    let path = format!("/v1/workflows/{workflow}/retry");
    it.send("retried", Method::POST, &path, &key, None).await;
    it.until_ended(&workflow).await;
    it.send("retried with the same key", Method::POST, &path, &key, None).await;
    let document = show(it, "failed again", &workflow).await;
    show_tasks(it, "failed again", &document).await;
}

async fn expired(it: &mut Recorder) {
    let soon = (jiff::Timestamp::now() + std::time::Duration::from_millis(800)).to_string();
    let late = with(it.held_task("say", json!({ "token": "a" })), "expires_at", json!(soon));
    let body = json!({ "nodes": [
        node("late", late, json!([])),
        node("care", echo(it, json!(1)), json!([{ "node": "late", "when": "failed" }])),
        node("waits", echo(it, json!(1)), json!([{ "node": "late" }])),
    ] });
    let workflow = id(&it.post("one that expires", "/v1/workflows", body).await);
    it.until_ended(&workflow).await;
    let document = show(it, "expired", &workflow).await;
    show_tasks(it, "expired", &document).await;
}

/// Its handler adds nodes to it.
async fn grown(it: &mut Recorder) {
    let parent = it.task("spread", json!({ "children": 2, "queue": it.main() }));
    let after = it.task("gather", json!({ "results": { "$ref": "dependencies.results" } }));
    let body =
        json!({ "nodes": [node("parent", parent, json!([])), node("after", after, json!([{ "node": "parent" }]))] });
    let workflow = id(&it.post("one that grows", "/v1/workflows", body).await);
    it.until_ended(&workflow).await;
    let document = show(it, "grown", &workflow).await;
    show_tasks(it, "grown", &document).await;
}
