//! What a submission may say of when and how its task runs.

use serde_json::{Value, json};

use crate::server::Api;

#[tokio::test]
async fn everything_that_was_said_is_kept_and_shown() {
    let api = Api::start().await;
    let parent = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    let said = json!({
        "name": "add", "args": [1, 2], "priority": 9, "run_at": "9999-12-30T00:00:00Z",
        "expires_at": "9999-12-30T12:00:00+01:00", "timeout": 60, "soft_timeout": 50.5, "result_ttl": 3600,
        "store_result": false, "tags": ["mail", "äöü"], "metadata": {"order": 1.50}, "parent_id": parent,
    });
    let answer = api.post_json("/v1/tasks", said.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let task = answer.json();
    let later = api.get(&format!("/v1/tasks/{}", task["id"].as_str().unwrap())).await.json();
    assert_eq!(later, task, "the same document without and with the row");
    let shown = |field: &str| task[field].clone();
    assert_eq!(shown("state"), "scheduled");
    assert_eq!(shown("run_at"), "9999-12-30T00:00:00Z");
    assert_eq!(shown("expires_at"), "9999-12-30T11:00:00Z");
    assert_eq!(
        (shown("timeout"), shown("soft_timeout"), shown("result_ttl")),
        (json!(60.0), json!(50.5), json!(3600.0))
    );
    assert_eq!((shown("store_result"), shown("tags")), (json!(false), json!(["mail", "äöü"])));
    assert_eq!((shown("metadata"), shown("parent_id")), (json!({"order": 1.50}), json!(parent)));
    assert_eq!(shown("root_id"), json!(parent), "the first task of its line");
    api.stop().await;
}

#[tokio::test]
async fn a_start_in_the_past_is_now() {
    let api = Api::start().await;
    let answer =
        api.post_json("/v1/tasks", r#"{"name": "add", "args": [1, 2], "run_at": "2020-01-01T00:00:00Z"}"#).await;
    let task = answer.json();
    assert_eq!((&task["state"], &task["run_at"]), (&json!("queued"), &Value::Null));
    api.stop().await;
}

#[tokio::test]
async fn metadata_takes_any_number() {
    let api = Api::start().await;
    for number in ["1e-20000", "1e-400", "-0", "1e308", "123456789012345678901234567890"] {
        api.submit(&format!(r#"{{"name": "add", "metadata": {{"a": {number}}}}}"#)).await;
    }
    api.stop().await;
}

#[tokio::test]
async fn a_parent_must_be_there() {
    let api = Api::start().await;
    let body = r#"{"name": "add", "args": [1, 2], "parent_id": "01890000-0000-7000-8000-000000000000"}"#;
    api.post_json("/v1/tasks", body).await.assert_problem(404, "task_not_found");
    assert!(api.sql("SELECT FROM task", &[]).await.is_empty());
    api.stop().await;
}
