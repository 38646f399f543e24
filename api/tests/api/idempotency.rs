//! `Idempotency-Key`: a repeated request is answered as the first time.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;

use crate::{
    answer::Answer,
    server::{Api, Setup},
};

const ADD: &str = r#"{"name": "add", "args": [1, 2]}"#;

async fn post(api: &Api, path: &str, key: &str, body: &str) -> Answer {
    let request = api.client.post(format!("{}{path}", api.url)).header("idempotency-key", key);
    let request = request.header("content-type", "application/json").body(body.to_owned());
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let api = Api::start().await;
    let first = post(&api, "/v1/tasks", "\"key-1\"", ADD).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (202, ""), "{}", first.text());
    // what becomes of the task changes nothing, not even its end
    api.sql(
        "WITH gone AS (DELETE FROM task_run RETURNING id) DELETE FROM task_spec s USING gone g WHERE s.id = g.id",
        &[],
    )
    .await;
    let again = post(&api, "/v1/tasks", "key-1", ADD).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (202, "true"));
    assert_eq!((again.json(), again.header("location")), (first.json(), first.header("location")));
    assert!(api.sql("SELECT FROM task", &[]).await.is_empty());
    api.stop().await;
}

#[tokio::test]
async fn a_key_stands_for_one_body_at_one_address() {
    let api = Api::start().await;
    assert_eq!(post(&api, "/v1/tasks", "key", ADD).await.status, 202);
    let other = r#"{"name": "add", "args": [1, 3]}"#;
    post(&api, "/v1/tasks", "key", other).await.assert_problem(422, "idempotency_key_reused");
    let batch = json!({ "tasks": [{ "name": "add" }] }).to_string();
    post(&api, "/v1/tasks/batch", "key", &batch).await.assert_problem(422, "idempotency_key_reused");
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn batches_and_images_have_keys_too() {
    let api = Api::start().await;
    let batch = json!({ "tasks": [{ "name": "add" }, { "name": "add", "priority": 11 }] }).to_string();
    let first = post(&api, "/v1/tasks/batch", "key", &batch).await;
    let again = post(&api, "/v1/tasks/batch", "key", &batch).await;
    assert_eq!((again.status.as_u16(), again.json()["batch_id"].clone()), (200, first.json()["batch_id"].clone()));
    assert_eq!(again.json()["tasks"][0]["task"], first.json()["tasks"][0]["task"]);
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 1);
    let image = api.upload(&std::fs::read("../deploy/photos/rocket.jpg").unwrap(), "image/jpeg").await;
    let path = format!("/process-image/{image}");
    let (first, again) = (post(&api, &path, "i", "").await, post(&api, &path, "i", "").await);
    assert_eq!((first.status.as_u16(), first.json()), (202, again.json()));
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 2);
    api.stop().await;
}

/// The repeated answer is the first one, place by place, whatever has become known meanwhile.
#[tokio::test]
async fn a_partly_refused_batch_is_repeated_as_it_was() {
    let api = Api::start().await;
    let batch = json!({ "tasks": [{ "name": "later" }, { "name": "add" }] }).to_string();
    let first = post(&api, "/v1/tasks/batch", "key", &batch).await.json();
    assert_eq!([&first["tasks"][0]["status"], &first["tasks"][1]["status"]], [422, 202]);
    api.announce(&[("later", &[])]).await;
    assert_eq!(post(&api, "/v1/tasks/batch", "key", &batch).await.json(), first);
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn a_refused_request_frees_its_key() {
    let api = Api::start().await;
    post(&api, "/v1/tasks", "key", r#"{"name": "add", "priority": 10}"#).await.assert_problem(422, "invalid_request");
    assert_eq!(post(&api, "/v1/tasks", "key", ADD).await.status, 202);
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let api = Api::start().await;
    for key in ["", "\"\"", "a b", &"a".repeat(256)] {
        post(&api, "/v1/tasks", key, ADD).await.assert_problem(400, "invalid_idempotency_key");
    }
    assert!(api.sql("SELECT FROM task", &[]).await.is_empty());
    api.stop().await;
}

/// A thousand requests with one key, at once, over three processes: one task.
#[tokio::test]
async fn one_key_makes_one_task_however_many_ask() {
    let first = Api::start().await;
    let mut apis = vec![];
    for _ in 0..2 {
        let setup = Setup { postgres_url: first.postgres_url.clone(), ..Setup::new().await };
        apis.push(setup.start().await);
    }
    apis.push(first);
    let apis = Arc::new(apis);
    let ask = |index: usize| {
        let apis = Arc::clone(&apis);
        tokio::spawn(async move { post(&apis[index % 3], "/v1/tasks", "one", ADD).await })
    };
    let answers = join_all((0..1000).map(ask)).await;
    let mut ids = std::collections::HashSet::new();
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        ids.insert(answer.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(apis[2].sql("SELECT FROM task", &[]).await.len(), 1);
    for api in Arc::into_inner(apis).unwrap().into_iter().rev().take(1) {
        api.stop().await;
    }
}

/// A parent that was removed, a task that was retried and is gone: the repeated answer is the first one all the same.
#[tokio::test]
async fn what_is_gone_since_changes_no_answer() {
    let api = Api::start().await;
    let parent = api.submit(ADD).await;
    let child = json!({ "name": "add", "args": [1, 2], "parent_id": parent });
    let ended = api.submit(ADD).await;
    api.sql("UPDATE task_run SET state = 'failed', epoch = 1, finished_at = now() WHERE id = $1", &[&ended]).await;
    let requests = [
        ("/v1/tasks".to_owned(), "one", child.clone()),
        ("/v1/tasks/batch".to_owned(), "some", json!({ "tasks": [child.clone()] })),
        ("/v1/tasks/batch".to_owned(), "all", json!({ "tasks": [child], "atomic": true })),
        (format!("/v1/tasks/{ended}/retry"), "retry", json!({})),
        ("/v1/tasks/actions/retry".to_owned(), "retries", json!({ "ids": [ended] })),
    ];
    let mut first = Vec::new();
    for (path, key, body) in &requests {
        first.push(post(&api, path, key, &body.to_string()).await);
    }
    api.sql(
        "WITH gone AS (DELETE FROM task_run RETURNING id) DELETE FROM task_spec s USING gone g WHERE s.id = g.id",
        &[],
    )
    .await;
    for ((path, key, body), first) in requests.iter().zip(first) {
        let again = post(&api, path, key, &body.to_string()).await;
        assert!(first.status.is_success(), "{path}: {}", first.text());
        assert_eq!((again.status, again.json()), (first.status, first.json()), "{path}");
    }
    assert!(api.sql("SELECT FROM task", &[]).await.is_empty());
    // without the key, and with it for another body, nothing is there any more
    let (path, key, body) = &requests[0];
    api.post_json(path, body.to_string()).await.assert_problem(404, "task_not_found");
    let other = json!({ "name": "add", "args": [1, 3], "parent_id": parent }).to_string();
    post(&api, path, key, &other).await.assert_problem(422, "idempotency_key_reused");
    post(&api, path, "new", &body.to_string()).await.assert_problem(404, "task_not_found");
    assert_eq!(post(&api, path, "new", ADD).await.status, 202, "a refused request frees its key");
    api.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_another_task_is_repeated_as_one() {
    let api = Api::start().await;
    let unique = json!({ "name": "add", "args": [1, 2], "unique": {} }).to_string();
    let holder = api.submit(&unique).await;
    for replayed in ["", "true"] {
        let answer = post(&api, "/v1/tasks", "key", &unique).await;
        assert_eq!((answer.status.as_u16(), answer.header("idempotency-replayed")), (200, replayed));
        assert_eq!((&answer.json()["id"], &answer.json()["deduplicated"]), (&json!(holder), &json!(true)));
    }
    api.stop().await;
}
