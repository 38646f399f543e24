//! Somebody holds a lock for long: who wants the same thing is told so soon, and nobody else notices.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, StatusCode, header};
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

/// What somebody asks for who has to wait for a lock.
struct Edit {
    method: Method,
    path: String,
    body: String,
}

impl Edit {
    fn post(path: String) -> Self {
        Self { method: Method::POST, path, body: String::new() }
    }

    async fn send(&self, api: &Api) -> Answer {
        let request = api.client.request(self.method.clone(), format!("{}{}", api.url, self.path));
        let request = match self.body.as_str() {
            "" => request,
            body => request.header(header::CONTENT_TYPE, "application/json").body(body.to_owned()),
        };
        Answer::of(request.send().await.unwrap()).await
    }
}

/// While these edits wait, a submission is accepted and a task is read, as if nothing were.
async fn nobody_else_notices(api: &Api, edits: &[Edit]) {
    let known = api.submit(r#"{"name":"add","args":[1,2]}"#).await;
    let began = Instant::now();
    let edits = join_all(edits.iter().map(|edit| async move {
        let answer = edit.send(api).await;
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
        assert_told(&answer);
        assert!(took < TOLD_WITHIN, "told after {took:?}");
    }
}

fn assert_told(answer: &Answer) {
    let document = answer.json();
    assert!(["contended", "overloaded"].map(Value::from).contains(&document["code"]), "{document}");
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
    let edits: Vec<Edit> = edits.into_iter().cycle().take(EDITS).map(Edit::post).collect();
    nobody_else_notices(&api, &edits).await;
    drop(holder);
    let answer = edits[0].send(&api).await;
    assert_eq!((answer.status, &answer.json()["state"]), (StatusCode::OK, &json!("cancelled")));
    api.stop().await;
}

#[tokio::test]
async fn edits_of_locked_tasks_are_told_so_and_hold_nobody_up() {
    let api = Api::start().await;
    let submit = async |start: &str| api.submit(&format!(r#"{{"name":"add","args":[1,2]{start}}}"#)).await;
    let mut edits = Vec::new();
    for _ in 0..EDITS / 4 {
        edits.push(Edit::post(format!("/v1/tasks/{}/cancel", submit("").await)));
        let many = json!({ "ids": [submit("").await, submit("").await] }).to_string();
        edits.push(Edit { body: many, ..Edit::post("/v1/tasks/actions/cancel".to_owned()) });
        let path = format!("/v1/tasks/{}", submit(r#","delay":3600"#).await);
        edits.push(Edit { method: Method::PATCH, path, body: r#"{"delay":0}"#.to_owned() });
        let path = format!("/v1/tasks/{}", submit("").await);
        assert_eq!(api.post(&format!("{path}/cancel"), "", "").await.status, StatusCode::OK);
        edits.push(Edit { method: Method::DELETE, path, body: String::new() });
    }
    let holder = holding(&api, "SELECT FROM task FOR UPDATE").await;
    nobody_else_notices(&api, &edits).await;
    drop(holder);
    for edit in &edits {
        let answer = edit.send(&api).await;
        assert!(answer.status.is_success(), "{} {}: {answer:?}", edit.method, edit.path);
    }
    api.stop().await;
}
