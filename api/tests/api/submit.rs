//! `POST /v1/tasks`: what is accepted, what is told, what is kept.

use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    database::variable,
    eventually::eventually_async,
    server::{Api, QUEUE, Setup},
};

#[tokio::test]
async fn an_accepted_task_is_a_row_and_its_document_is_the_same_as_later() {
    let api = Api::start().await;
    let body = r#"{"name": "add", "args": [1.50], "kwargs": {"y" :2e0}, "priority": 7, "timeout": 2.5,
        "retry": {"max_attempts": 3, "backoff": {"type": "constant", "initial": 1}}}"#;
    let request = api.client.post(format!("{}/v1/tasks", api.url)).header(header::CONTENT_TYPE, "application/json");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = Answer::of(request.header("traceparent", trace).body(body).send().await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let task = answer.json();
    let id: Uuid = task["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(answer.header(header::LOCATION), format!("/v1/tasks/{id}"));
    let said = ["name", "state", "queue", "priority", "max_attempts", "timeout", "traceparent", "attempt"];
    assert_eq!(
        said.map(|field| task[field].clone()),
        [json!("add"), json!("queued"), json!(QUEUE), json!(7), json!(3), json!(2.5), json!(trace), json!(0)]
    );
    assert_eq!(api.get(&format!("/v1/tasks/{id}")).await.json(), task, "the same document without and with the row");

    let row = &api
        .sql("SELECT input, retry->'backoff'->>'type', EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids)) FROM task t WHERE id = $1", &[&id])
        .await[0];
    let input: Vec<u8> = row.get(0);
    assert_eq!(String::from_utf8(input).unwrap(), r#"{"args":[1.50],"kwargs":{"y" :2e0}}"#, "the client's own bytes");
    assert_eq!((row.get::<_, &str>(1), row.get::<_, bool>(2)), ("constant", true), "and owed to the broker");
    api.stop().await;
}

#[tokio::test]
async fn a_delayed_task_is_scheduled() {
    let api = Api::start().await;
    let answer = api.post_json("/v1/tasks", r#"{"name": "add", "args": [1, 2], "delay": 60}"#).await;
    let task = answer.json();
    assert_eq!((&task["state"], &task["queued_at"]), (&json!("scheduled"), &Value::Null));
    let later = api.get(answer.header(header::LOCATION)).await;
    assert_eq!(later.json(), task);
    let seconds = "SELECT extract(epoch FROM due_at - created_at)::int4, NOT EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids)) FROM task t";
    let row = &api.sql(seconds, &[]).await[0];
    assert_eq!((row.get::<_, i32>(0), row.get::<_, bool>(1)), (60, true), "due in a minute, and nothing is owed");
    api.stop().await;
}

#[tokio::test]
async fn every_way_to_write_the_media_type() {
    let api = Api::start().await;
    for media_type in ["application/json", "application/json; charset=utf-8", "application/vnd.x+json"] {
        let answer = api.post("/v1/tasks", r#"{"name": "add", "args": [1, 2]}"#, media_type).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{media_type}: {}", answer.text());
    }
    // what a browser sends for any page without asking first has a simple type, or none
    for media_type in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = api.post("/v1/tasks", r#"{"name": "add", "args": [1, 2]}"#, media_type).await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    api.stop().await;
}

#[tokio::test]
async fn the_largest_arguments_fit_and_one_byte_more_does_not() {
    const LARGEST: usize = 256 << 10;
    let api = Api::start().await;
    let body = |bytes: usize| format!(r#"{{"name":"add","args":["{}"]}}"#, "x".repeat(bytes - "[\"\"]{}".len()));
    let id = api.submit(&body(LARGEST)).await;
    let rows = api.sql("SELECT length(input) FROM task WHERE id = $1", &[&id]).await;
    assert!(usize::try_from(rows[0].get::<_, i32>(0)).unwrap() > LARGEST);
    api.post_json("/v1/tasks", body(LARGEST + 1)).await.assert_problem(413, "input_too_large");
    api.stop().await;
}

#[tokio::test]
async fn a_type_is_known_from_the_moment_it_was_announced() {
    let api = Api::start().await;
    let body = r#"{"name": "brand_new"}"#;
    for round in 0..3 {
        let name = format!("brand_new_{round}");
        let body = body.replace("brand_new", &name);
        api.post_json("/v1/tasks", body.clone()).await.assert_problem(422, "unknown_task");
        api.announce(&[(&name, &[])]).await;
        api.submit(&body).await;
    }
    api.stop().await;
}

#[tokio::test]
async fn many_clients_get_one_row_each() {
    const CLIENTS: usize = 16;
    const TASKS_EACH: usize = 50;
    let api = std::sync::Arc::new(Api::start().await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let api = std::sync::Arc::clone(&api);
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..TASKS_EACH {
                    ids.push(api.submit(r#"{"name": "add", "args": [1, 2]}"#).await);
                }
                ids
            })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for client in clients {
        ids.extend(client.await.unwrap());
    }
    let rows = api.sql("SELECT id FROM task WHERE state = 'queued'", &[]).await;
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<std::collections::HashSet<Uuid>>(), ids);
    assert_eq!(ids.len(), CLIENTS * TASKS_EACH);
    std::sync::Arc::into_inner(api).unwrap().stop().await;
}

#[tokio::test]
async fn an_accepted_task_is_published_and_marked() {
    let mut setup = Setup::new().await;
    setup.amqp_url = variable("CARAWAY_AMQP_URL");
    let api = setup.start().await;
    api.announce(&[("add", &["x", "y"])]).await;
    eventually_async("the broker", async || api.get("/readyz").await.text().contains("\"ready\"").then_some(())).await;
    let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    eventually_async("the broker's confirm in the row", async || {
        let rows = api
            .sql("SELECT FROM task t WHERE id = $1 AND NOT EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids))", &[&id])
            .await;
        (!rows.is_empty()).then_some(())
    })
    .await;
    api.stop().await;
}
