//! Workflows as their clients see them, without a worker: what is refused and where the fault is, keys, pages, cancelling.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{answer::Answer, server::Api};

fn add() -> Value {
    json!({ "name": "add", "args": [1, 2] })
}

fn node(key: &str, before: &[&str]) -> Value {
    let before: Vec<Value> = before.iter().map(|node| json!({ "node": node })).collect();
    json!({ "key": key, "task": add(), "depends_on": before })
}

async fn post(api: &Api, path: &str, body: &Value) -> Answer {
    api.post_json(path, body.to_string()).await
}

async fn created(api: &Api, path: &str, body: &Value) -> (Uuid, Value) {
    let answer = post(api, path, body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let document = answer.json();
    let id = document["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/workflows/{id}"));
    (id.parse().unwrap(), document)
}

#[tokio::test]
async fn every_fault_is_pointed_at() {
    let api = Api::start().await;
    let with = |mut node: Value, field: &str, value: Value| {
        node["task"][field] = value;
        node
    };
    let many: Vec<Value> = (0..=10_000).map(|_| json!({ "name": "add" })).collect();
    let row: Vec<Value> = (0..=100).map(|_| json!({ "task": { "name": "add" } })).collect();
    let deep: Vec<Value> = (0..=100_i32)
        .map(|index| {
            node(
                &index.to_string(),
                &index
                    .checked_sub(1)
                    .filter(|before| *before >= 0)
                    .map(|before| before.to_string())
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    for (path, body, code, pointer) in [
        ("/v1/workflows", json!({}), "invalid_request", "/nodes"),
        ("/v1/workflows", json!({ "nodes": [{ "key": "a" }] }), "invalid_request", "/nodes/0/task"),
        ("/v1/workflows", json!({ "nodes": [node("a b", &[])] }), "invalid_request", "/nodes/0/key"),
        ("/v1/workflows", json!({ "nodes": [node("a", &[]), node("a", &[])] }), "invalid_request", "/nodes/1/key"),
        ("/v1/workflows", json!({ "nodes": [node("a", &["b"])] }), "invalid_request", "/nodes/0/depends_on/0/node"),
        ("/v1/workflows", json!({ "nodes": [node("a", &["a"])] }), "invalid_request", "/nodes/0/depends_on/0/node"),
        (
            "/v1/workflows",
            json!({ "nodes": [node("x", &[]), node("a", &["x", "b"]), node("b", &["a"])] }),
            "invalid_request",
            "/nodes/2/depends_on/0/node",
        ),
        ("/v1/workflows", json!({ "nodes": deep }), "invalid_request", "/nodes/100"),
        (
            "/v1/workflows",
            json!({ "nodes": [with(node("a", &[]), "args", json!([1, { "$ref": "nodes.b.result" }]))] }),
            "invalid_request",
            "/nodes/0/task/args/1",
        ),
        (
            "/v1/workflows",
            json!({ "nodes": [with(node("a", &[]), "priority", json!(11))] }),
            "invalid_request",
            "/nodes/0/task/priority",
        ),
        (
            "/v1/workflows",
            json!({ "nodes": [with(node("a", &[]), "unique", json!({ "key": "k" }))] }),
            "invalid_request",
            "/nodes/0/task/unique",
        ),
        ("/v1/workflows", json!({ "nodes": [], "x": 1 }), "unknown_field", "/x"),
        ("/v1/groups", json!({ "tasks": many }), "invalid_request", "/tasks"),
        ("/v1/groups", json!({ "tasks": [add(), 3] }), "invalid_request", "/tasks/1"),
        ("/v1/groups", json!({ "tasks": [], "max_in_flight": 0 }), "invalid_request", "/max_in_flight"),
        ("/v1/chains", json!({ "steps": row }), "invalid_request", "/steps"),
        (
            "/v1/chains",
            json!({ "steps": [{ "task": add(), "immutable": 1 }] }),
            "invalid_request",
            "/steps/0/immutable",
        ),
        ("/v1/chords", json!({ "tasks": [] }), "invalid_request", "/body"),
        ("/v1/map", json!({ "task": { "name": "add" }, "items": [1], "chunk": 0 }), "invalid_request", "/chunk"),
    ] {
        let problem = post(&api, path, &body).await.assert_problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}: {problem}");
    }
    let unknown = json!({ "tasks": [add(), { "name": "nobody_has_this" }] });
    let problem = post(&api, "/v1/groups", &unknown).await.assert_problem(422, "unknown_task");
    assert_eq!(problem["errors"][0]["pointer"], "/tasks/1/name");
    let too_many = json!({ "tasks": [add(), { "name": "add", "args": [1, 2, 3] }] });
    post(&api, "/v1/groups", &too_many).await.assert_problem(422, "invalid_arguments");
    let left = api.sql("SELECT (SELECT count(*) FROM task) + (SELECT count(*) FROM workflow)", &[]).await;
    assert_eq!(left[0].get::<_, i64>(0), 0, "nothing of what was refused is left");
    api.stop().await;
}

#[tokio::test]
async fn a_repeated_request_makes_one_workflow() {
    let api = Api::start().await;
    let send = async |path: &str, body: &Value| {
        let request =
            api.client.post(format!("{}{path}", api.url)).header("Idempotency-Key", "once").body(body.to_string());
        Answer::of(request.header("content-type", "application/json").send().await.unwrap()).await
    };
    let group = json!({ "tasks": [add(), add()] });
    let (first, second) = (send("/v1/groups", &group).await, send("/v1/groups", &group).await);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 202), "{}", second.text());
    assert_eq!((first.json(), second.header("idempotency-replayed")), (second.json(), "true"));
    send("/v1/groups", &json!({ "tasks": [add()] })).await.assert_problem(422, "idempotency_key_reused");
    send("/v1/tasks", &add()).await.assert_problem(422, "idempotency_key_reused");
    let rows = api.sql("SELECT count(*) FROM task", &[]).await;
    assert_eq!(rows[0].get::<_, i64>(0), 2);
    api.stop().await;
}

#[tokio::test]
async fn nodes_come_by_page_and_what_has_not_changed_is_not_sent_again() {
    let api = Api::start().await;
    let (id, _) = created(&api, "/v1/groups", &json!({ "tasks": vec![add(); 7] })).await;
    let page = api.get(&format!("/v1/workflows/{id}?limit=5")).await;
    let document = page.json();
    assert_eq!((&document["counts"]["total"], &document["counts"]["open"]), (&json!(7), &json!(7)));
    assert_eq!(document["nodes"]["data"].as_array().map(Vec::len), Some(5));
    let cursor = document["nodes"]["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("/v1/workflows/{id}?cursor={cursor}")).await.json();
    let keys: Vec<&str> =
        rest["nodes"]["data"].as_array().unwrap().iter().map(|node| node["key"].as_str().unwrap()).collect();
    assert_eq!((keys, &rest["nodes"]["next_cursor"]), (vec!["5", "6"], &Value::Null));
    let again =
        api.client.get(format!("{}/v1/workflows/{id}?limit=5", api.url)).header("if-none-match", page.header("etag"));
    assert_eq!(again.send().await.unwrap().status(), 304);
    api.get(&format!("/v1/workflows/{}", Uuid::now_v7())).await.assert_problem(404, "workflow_not_found");
    api.get(&format!("/v1/workflows/{id}?wait=x")).await.assert_problem(422, "invalid_request");
    api.get(&format!("/v1/workflows/{id}?waits=1")).await.assert_problem(422, "unknown_parameter");
    api.get(&format!("/v1/workflows/{id}/results")).await.assert_problem(409, "workflow_not_finished");
    api.post(&format!("/v1/workflows/{id}/retry"), "", "").await.assert_problem(409, "workflow_not_finished");
    api.stop().await;
}

#[tokio::test]
async fn cancelled_before_anything_started() {
    let api = Api::start().await;
    let graph = json!({ "nodes": [node("a", &[]), node("b", &["a"])] });
    let (id, _) = created(&api, "/v1/workflows", &graph).await;
    let answer = api.post(&format!("/v1/workflows/{id}/cancel"), "", "").await;
    let document = answer.json();
    assert_eq!((answer.status.as_u16(), &document["state"]), (200, &json!("cancelled")), "{document}");
    assert_eq!(
        document["counts"],
        json!({ "total": 2, "open": 0, "succeeded": 0, "failed": 0, "cancelled": 2, "expired": 0 })
    );
    api.get(&format!("/v1/workflows/{id}/results")).await.assert_problem(409, "workflow_cancelled");
    let retried = api.post(&format!("/v1/workflows/{id}/retry"), "", "").await;
    assert_eq!((retried.status.as_u16(), &retried.json()["state"]), (202, &json!("running")));
    let waiting = api.get("/v1/tasks?state=waiting").await.json();
    assert_eq!(
        (waiting["data"].as_array().map(Vec::len), &waiting["data"][0]["waiting_reason"]),
        (Some(1), &json!("dependencies"))
    );
    let empty = post(&api, "/v1/groups", &json!({ "tasks": [] })).await.json();
    let id = empty["id"].as_str().unwrap();
    api.post(&format!("/v1/workflows/{id}/cancel"), "", "").await.assert_problem(409, "workflow_already_finished");
    assert_eq!(api.get(&format!("/v1/workflows/{id}/results")).await.json(), json!([]));
    api.stop().await;
}

/// One task after the other, each ended by hand as a worker would: the waits are answered.
#[tokio::test]
async fn a_client_may_wait_for_the_end() {
    let api = Api::start().await;
    let (id, _) = created(&api, "/v1/groups", &json!({ "tasks": [add()] })).await;
    let path = format!("/v1/workflows/{id}?wait=20&limit=1");
    let (waited, ()) = tokio::join!(api.get(&path), async {
        let cancelled = api.post(&format!("/v1/workflows/{id}/cancel"), "", "").await;
        assert_eq!(cancelled.status, 200);
    });
    assert_eq!(waited.json()["state"], "cancelled");
    api.stop().await;
}
