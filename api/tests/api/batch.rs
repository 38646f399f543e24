//! `POST /v1/tasks/batch`.

use serde_json::{Value, json};

use crate::server::Api;

fn good(x: usize) -> Value {
    json!({ "name": "add", "args": [x, 1] })
}

#[tokio::test]
async fn a_thousand_tasks_in_order_under_one_id() {
    let api = Api::start().await;
    let tasks: Vec<Value> = (0..1000).map(good).collect();
    let answer = api.post_json("/v1/tasks/batch", json!({ "tasks": tasks }).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["accepted"], 1000);
    let rows = api
        .sql("SELECT id::text, convert_from(input, 'utf8'), batch_id::text FROM task WHERE state = 'queued'", &[])
        .await;
    assert_eq!(rows.len(), 1000);
    let inputs: std::collections::HashMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (index, entry) in answer["tasks"].as_array().unwrap().iter().enumerate() {
        assert_eq!(entry["status"], 202);
        let id = entry["task"]["id"].as_str().unwrap();
        assert_eq!(inputs[id], format!(r#"{{"args":[{index},1],"kwargs":{{}}}}"#), "entry {index} is task {index}");
        assert_eq!(entry["task"]["batch_id"], answer["batch_id"]);
    }
    assert!(rows.iter().all(|row| row.get::<_, &str>(2) == answer["batch_id"]));
    api.stop().await;
}

#[tokio::test]
async fn a_bad_task_keeps_only_itself_out() {
    let api = Api::start().await;
    let body = json!({ "tasks": [good(1), { "name": "add", "priority": 10 }, { "name": "nobody" }, 7, good(2)] });
    let answer = api.post_json("/v1/tasks/batch", body.to_string()).await.json();
    let statuses: Vec<&Value> = answer["tasks"].as_array().unwrap().iter().map(|entry| &entry["status"]).collect();
    assert_eq!(statuses, [202, 422, 422, 422, 202]);
    assert_eq!(answer["tasks"][1]["problem"]["errors"][0]["pointer"], "/tasks/1/priority");
    assert_eq!(answer["tasks"][2]["problem"]["code"], "unknown_task");
    assert_eq!(answer["tasks"][3]["problem"]["errors"][0]["pointer"], "/tasks/3");
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 2);
    api.stop().await;
}

#[tokio::test]
async fn an_atomic_batch_is_all_or_nothing() {
    let api = Api::start().await;
    let mut body = json!({ "atomic": true, "tasks": [good(1), { "name": "add", "priority": 10 }] });
    let problem = api.post_json("/v1/tasks/batch", body.to_string()).await.assert_problem(422, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/tasks/1/priority");
    assert!(api.sql("SELECT FROM task", &[]).await.is_empty());
    body["tasks"] = json!([good(1), good(2)]);
    assert_eq!(api.post_json("/v1/tasks/batch", body.to_string()).await.json()["accepted"], 2);

    // kept out by a unique task: the others leave nothing behind either
    let unique = json!({ "key": "k", "on_conflict": "reject" });
    let held = json!({ "name": "add", "unique": unique });
    api.submit(&held.to_string()).await;
    body["tasks"] = json!([{ "name": "add", "unique": { "key": "other", "while": "period", "period": 60 } }, held]);
    let problem = api.post_json("/v1/tasks/batch", body.to_string()).await.assert_problem(409, "duplicate_task");
    assert_eq!(problem["index"], 1, "which of them it was");
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 3);
    assert_eq!(api.sql("SELECT FROM task_unique", &[]).await.len(), 1, "the abandoned task holds nothing");
    api.stop().await;
}

#[tokio::test]
async fn bounds() {
    let api = Api::start().await;
    let batch = |count| json!({ "tasks": vec![json!({ "name": "add" }); count] }).to_string();
    for count in [0, 1001] {
        api.post_json("/v1/tasks/batch", batch(count)).await.assert_problem(422, "invalid_request");
    }
    api.post_json("/v1/tasks/batch", "{}").await.assert_problem(422, "invalid_request");
    api.stop().await;
}

/// A refused atomic batch leaves everybody else's tasks alone, also those that it would have replaced.
#[tokio::test]
async fn a_refused_atomic_batch_replaces_nothing() {
    let api = Api::start().await;
    let unique =
        |key: &str, on_conflict: &str| json!({ "name": "add", "unique": { "key": key, "on_conflict": on_conflict } });
    let first = api.submit(&unique("a", "reject").to_string()).await;
    api.submit(&unique("b", "reject").to_string()).await;
    let body = json!({ "atomic": true, "tasks": [unique("a", "replace"), unique("b", "reject")] });
    api.post_json("/v1/tasks/batch", body.to_string()).await.assert_problem(409, "duplicate_task");
    assert_eq!(api.get(&format!("/v1/tasks/{first}")).await.json()["state"], "queued");
    api.post_json("/v1/tasks", unique("a", "reject").to_string()).await.assert_problem(409, "duplicate_task");
    api.stop().await;
}

/// Names that nobody knows are asked for once, not one by one.
#[tokio::test]
async fn a_thousand_unknown_names_are_told_at_once() {
    let api = Api::start().await;
    let tasks: Vec<Value> = (0..1000).map(|index| json!({ "name": format!("nobody_{index}") })).collect();
    let asked = std::time::Instant::now();
    let answer = api.post_json("/v1/tasks/batch", json!({ "tasks": tasks }).to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.json()["accepted"].clone()), (200, json!(0)));
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
    api.stop().await;
}
