//! Users and their keys: what they see of each other's tasks, their quotas, what is theirs alone, and what was done to them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Recorder, id};

#[tokio::test]
async fn users() {
    let mut it = Recorder::start("users").await;
    let (operator, _) = key(&mut it, json!({ "name": "operator", "scopes": ["admin"] })).await;
    it.key = Some(operator.clone());
    it.hold().await;
    let made = it.post("a user", "/v1/users", json!({ "name": "shop", "quotas": { "queued_tasks": 3 } })).await;
    let (shop, other) =
        (made["id"].clone(), it.post("another", "/v1/users", json!({ "name": "other" })).await["id"].clone());
    it.post("a name that is taken", "/v1/users", json!({ "name": "shop" })).await;
    let scopes = json!(["submit", "read", "cancel"]);
    let (client, _) = key(&mut it, json!({ "name": "k", "scopes": scopes, "user_id": shop })).await;
    let (stranger, stranger_id) = key(&mut it, json!({ "name": "k", "scopes": scopes, "user_id": other })).await;
    let queues = json!([it.main()]);
    let (narrow, _) =
        key(&mut it, json!({ "name": "narrow", "scopes": scopes, "user_id": shop, "queues": queues })).await;

    let (task, group) = as_client(&mut it, &client).await;
    as_narrow(&mut it, &narrow, &task).await;
    beyond_the_quota(&mut it, &client).await;
    as_stranger(&mut it, &stranger, &task).await;

    it.key = Some(operator.clone());
    it.pages("the operator's tasks", "/v1/tasks").await;
    it.pages("users", "/v1/users").await;
    it.get("a user", &format!("/v1/users/{shop}")).await;
    it.get("nobody", "/v1/users/999999999").await;
    it.send(
        "quotas",
        Method::PUT,
        &format!("/v1/users/{shop}/quotas"),
        &[],
        Some(json!({ "queued_tasks": 5, "stored_bytes": 1000 })),
    )
    .await;
    it.pages("keys", "/v1/api-keys").await;
    it.send("a key is revoked", Method::DELETE, &format!("/v1/api-keys/{stranger_id}"), &[], None).await;
    it.post("disabled", &format!("/v1/users/{shop}/disable?cancel_tasks=true"), json!({})).await;
    it.get("a disabled user", &format!("/v1/users/{shop}")).await;
    it.post("enabled", &format!("/v1/users/{shop}/enable"), json!({})).await;
    it.key = Some(client);
    it.until(&task, "cancelled").await;
    it.pages("the client's tasks after that", "/v1/tasks").await;
    it.pages("the client's workflows after that", "/v1/workflows").await;
    it.key = Some(operator);
    let workflow = format!("/v1/workflows/{group}?user_id={shop}&reason=nobody%20wants%20it");
    it.send("the client's workflow is deleted", Method::DELETE, &workflow, &[], None).await;
    it.pages("what was done", "/v1/audit").await;
    it.pages("what was done to one", &format!("/v1/audit?user_id={shop}")).await;
    it.pages("workflows of one", &format!("/v1/workflows?user_id={shop}")).await;
    it.finish();
}

/// A new key; its secret and its number.
async fn key(it: &mut Recorder, wanted: Value) -> (String, i64) {
    let made = it.post("a key", "/v1/api-keys", wanted).await;
    (made["key"].as_str().expect("a key").into(), made["id"].as_i64().expect("a number"))
}

/// Its task, and its workflow.
async fn as_client(it: &mut Recorder, key: &str) -> (String, String) {
    it.key = Some(key.into());
    let say = it.held_task("say", json!({ "token": "a" }));
    let task = it.submit("the client submits", say.clone()).await;
    it.show("the client's task", &task).await;
    let group = id(&it.post("a group of the client", "/v1/groups", json!({ "tasks": [say] })).await);
    (task, group)
}

async fn beyond_the_quota(it: &mut Recorder, key: &str) {
    it.key = Some(key.into());
    let say = it.held_task("say", json!({ "token": "a" }));
    it.post("more than its quota", "/v1/tasks/batch", json!({ "tasks": [say, say] })).await;
    it.post("more than its quota, or none", "/v1/tasks/batch", json!({ "atomic": true, "tasks": [say, say] })).await;
    it.post("more than its quota, a group", "/v1/groups", json!({ "tasks": [say, say] })).await;
    it.submit("the last that fits", say.clone()).await;
    it.post("one too many", "/v1/tasks", say).await;
    it.pages("the client's tasks", "/v1/tasks").await;
    it.get("the client asks for the log", "/v1/audit").await;
}

async fn as_stranger(it: &mut Recorder, key: &str, task: &str) {
    it.key = Some(key.into());
    it.get("another's task", &format!("/v1/tasks/{task}")).await;
    it.post("another's task is cancelled", &format!("/v1/tasks/{task}/cancel"), json!({})).await;
    it.pages("its own tasks", "/v1/tasks").await;
    it.pages("its own workflows", "/v1/workflows").await;
    it.get("queues are common", "/v1/queues").await;
}

async fn as_narrow(it: &mut Recorder, key: &str, task: &str) {
    it.key = Some(key.into());
    it.get("a task of another queue", &format!("/v1/tasks/{task}")).await;
    it.get("no queue named", "/v1/tasks").await;
    it.pages("its own queue", &format!("/v1/tasks?queue={}", it.main())).await;
    it.post("another queue", "/v1/tasks", it.held_task("say", json!({ "token": "a" }))).await;
    let echo = it.task("echo", json!({ "message": 1 }));
    let done = id(&it.post("its own queue", "/v1/tasks", echo).await);
    it.until(&done, "succeeded").await;
    it.pages("its own queue, with a task", &format!("/v1/tasks?queue={}", it.main())).await;
    it.send("its own task is deleted", Method::DELETE, &format!("/v1/tasks/{done}"), &[], None).await;
}
