//! Somebody holds a lock for long: who wants the same thing is told so soon, and nobody else notices.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::{answer::Answer, server::Api};

/// More edits at once than any pool has connections.
const EDITS: usize = 24;
/// A turn is waited for two seconds, a lock one; the rest is for a slow machine.
const TOLD_WITHIN: Duration = Duration::from_secs(8);
/// A submission takes milliseconds; before a batched writer had a connection of its own it was refused after two seconds.
const SUBMITTED_WITHIN: Duration = Duration::from_millis(1500);

/// A transaction that holds locks until it is dropped.
async fn holding(api: &Api, locks: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&api.postgres_url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; {locks}")).await.unwrap();
    client
}

async fn workflow(api: &Api) -> Value {
    let task = json!({ "name": "add", "args": [1, 2] });
    let answer = api.post_json("/v1/groups", json!({ "tasks": [task] }).to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    answer.json()
}

/// While these edits wait, a submission is accepted and a task is read, as if nothing were.
async fn nobody_else_notices(api: &Api, edits: &[String], codes: &[&str]) {
    let known = api.submit(r#"{"name":"add","args":[1,2]}"#).await;
    let began = Instant::now();
    let edits = join_all(edits.iter().map(|path| async move {
        let answer = api.post(path, "", "").await;
        (answer, began.elapsed())
    }));
    let others = async {
        let mut slowest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            api.submit(r#"{"name":"add","args":[1,2]}"#).await;
            assert_eq!(api.get(&format!("/v1/tasks/{known}")).await.status, StatusCode::OK);
            slowest = slowest.max(asked.elapsed());
        }
        slowest
    };
    let (answers, slowest) = tokio::join!(edits, others);
    println!("contended: others waited {slowest:?} at most");
    assert!(slowest < SUBMITTED_WITHIN, "others waited for {slowest:?}");
    for (answer, took) in answers {
        assert_told(&answer, codes);
        assert!(took < TOLD_WITHIN, "told after {took:?}");
    }
}

fn assert_told(answer: &Answer, codes: &[&str]) {
    let document = answer.json();
    let code = document["code"].as_str().unwrap_or_default();
    assert!(codes.contains(&code), "{document}");
    assert_eq!(answer.header(header::RETRY_AFTER), "1", "{document}");
}

#[tokio::test]
async fn edits_of_a_locked_workflow_are_told_so_and_hold_nobody_up() {
    let api = Api::start().await;
    let id = workflow(&api).await["id"].as_str().unwrap().to_owned();
    let holder = holding(&api, "SELECT FROM workflow FOR UPDATE").await;
    let node: uuid::Uuid = api.sql("SELECT task_id FROM workflow_node", &[]).await[0].get(0);
    let edits =
        [format!("/v1/workflows/{id}/cancel"), format!("/v1/workflows/{id}/retry"), format!("/v1/tasks/{node}/cancel")];
    let edits: Vec<String> = edits.into_iter().cycle().take(EDITS).collect();
    nobody_else_notices(&api, &edits, &["contended", "overloaded"]).await;
    drop(holder);
    let answer = api.post(&edits[0], "", "").await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!("cancelled")));
    api.stop().await;
}

#[tokio::test]
async fn edits_of_locked_tasks_are_told_so_and_hold_nobody_up() {
    let api = Api::start().await;
    let mut edits = Vec::new();
    for _ in 0..EDITS {
        edits.push(format!("/v1/tasks/{}/cancel", api.submit(r#"{"name":"add","args":[1,2]}"#).await));
    }
    let holder = holding(&api, "SELECT FROM task FOR UPDATE").await;
    nobody_else_notices(&api, &edits, &["contended", "overloaded"]).await;
    drop(holder);
    assert_eq!(api.post(&edits[0], "", "").await.status, StatusCode::OK);
    api.stop().await;
}
