//! Retrying what has ended: one task, many by id, many by what they failed of.

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{abuse::rss_kib, answer::Answer, server::Api};

async fn failed(api: &Api, args: [i32; 2], error_code: &str) -> Uuid {
    let body = json!({ "name": "add", "args": args, "priority": 7, "tags": ["a"], "metadata": { "k": 1 }, "timeout": 9,
        "retry": { "max_attempts": 3 } });
    let id = api.submit(&body.to_string()).await;
    let error = json!({ "code": error_code, "message": "no" }).to_string().into_bytes();
    api.sql(
        "UPDATE task_run SET state = 'failed', epoch = 3, attempt = 3, finished_at = now(), error = $2,
            error_code = $3 WHERE id = $1",
        &[&id, &error, &error_code],
    )
    .await;
    id
}

async fn retry(api: &Api, body: Value) -> Answer {
    api.post_json("/v1/tasks/actions/retry", body.to_string()).await
}

fn count(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["retried"].as_u64().unwrap()
}

#[tokio::test]
async fn one_task_is_made_anew_and_points_back() {
    let api = Api::start().await;
    let old = failed(&api, [1, 2], "no_luck").await;
    let answer = api.post(&format!("/v1/tasks/{old}/retry"), "", "").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let (new, before) = (answer.json(), api.get(&format!("/v1/tasks/{old}")).await.json());
    assert_eq!(answer.header("location"), format!("/v1/tasks/{}", new["id"].as_str().unwrap()));
    assert_eq!((&new["retry_of"], &new["state"], &new["attempt"]), (&json!(old), &json!("queued"), &json!(0)));
    for same in ["name", "queue", "priority", "max_attempts", "timeout", "tags", "metadata", "root_id"] {
        assert_eq!(new[same], before[same], "{same}");
    }
    assert_eq!(before["state"], "failed", "what has ended stays as it is");
    let inputs = api.sql("SELECT DISTINCT input FROM task", &[]).await;
    assert_eq!(inputs.len(), 1, "the same arguments");
    api.stop().await;
}

#[tokio::test]
async fn what_cannot_be_retried() {
    let api = Api::start().await;
    let waiting = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    let problem = api.post(&format!("/v1/tasks/{waiting}/retry"), "", "").await;
    assert_eq!(problem.assert_problem(409, "task_not_finished")["state"], "queued");
    api.post(&format!("/v1/tasks/{}/retry", Uuid::now_v7()), "", "").await.assert_problem(404, "task_not_found");
    let old = failed(&api, [1, 2], "e").await;
    api.post_json(&format!("/v1/tasks/{old}/retry"), r#"{"x": 1}"#).await.assert_problem(422, "unknown_field");
    for body in [
        json!({}),
        json!({ "ids": [] }),
        json!({ "ids": [old, old] }),
        json!({ "ids": [old], "filter": {} }),
        json!({ "ids": [old], "limit": 5 }),
        json!({ "filter": { "state": "queued" } }),
        json!({ "filter": {}, "limit": 1001 }),
        json!({ "filter": {}, "cursor": "x" }),
    ] {
        retry(&api, body).await.assert_problem(422, "invalid_request");
    }
    api.stop().await;
}

#[tokio::test]
async fn many_by_id_each_with_its_status() {
    let api = Api::start().await;
    let (first, second) = (failed(&api, [1, 2], "e").await, failed(&api, [3, 4], "e").await);
    let (unknown, waiting) = (Uuid::now_v7(), api.submit(r#"{"name": "add", "args": [1, 2]}"#).await);
    let answer = retry(&api, json!({ "ids": [second, unknown, waiting, first] })).await;
    assert_eq!(count(&answer), 2);
    let tasks = answer.json()["tasks"].clone();
    let statuses: Vec<_> = (0..4).map(|index| tasks[index]["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 404, 409, 202]);
    assert_eq!((&tasks[0]["retry_of"], &tasks[3]["retry_of"]), (&json!(second), &json!(first)));
    let batch = api.get(&format!("/v1/tasks?batch_id={}", answer.json()["batch_id"].as_str().unwrap())).await.json();
    assert_eq!(batch["data"].as_array().unwrap().len(), 2, "they are a batch");
    api.stop().await;
}

#[tokio::test]
async fn by_what_they_failed_of_and_none_twice() {
    let api = Api::start().await;
    for index in 0..5 {
        failed(&api, [index, 0], "unlucky").await;
    }
    failed(&api, [9, 9], "hopeless").await;
    let unlucky =
        || json!({ "filter": { "error_code": "unlucky", "name": "add", "created_after": "2001-01-01T00:00:00Z" } });

    let mut dry = unlucky();
    dry["dry_run"] = json!(true);
    let answer = retry(&api, dry).await;
    assert_eq!((count(&answer), answer.json()["tasks"].as_array().unwrap().len()), (0, 5), "{}", answer.text());
    assert_eq!(api.get("/v1/tasks?state=queued").await.json()["data"], json!([]), "a dry run changes nothing");

    let mut page = unlucky();
    page["limit"] = json!(3);
    let first = retry(&api, page.clone()).await;
    assert_eq!(count(&first), 3);
    page["cursor"] = first.json()["next_cursor"].clone();
    assert!(page["cursor"].is_string());
    let second = retry(&api, page).await;
    assert_eq!((count(&second), &second.json()["next_cursor"]), (2, &Value::Null));
    assert_eq!(count(&retry(&api, unlucky()).await), 0, "what was retried is not retried again");
    assert_eq!(api.get("/v1/tasks?state=queued").await.json()["data"].as_array().unwrap().len(), 5);
    api.stop().await;
}

#[tokio::test]
async fn a_repeated_request_retries_once() {
    let api = Api::start().await;
    let old = failed(&api, [1, 2], "e").await;
    let send = async |path: String, body: String| {
        let request = api.client.post(format!("{}{path}", api.url)).header("Idempotency-Key", "once").body(body);
        Answer::of(request.header("content-type", "application/json").send().await.unwrap()).await
    };
    let body = json!({ "filter": {} }).to_string();
    let first = send("/v1/tasks/actions/retry".into(), body.clone()).await;
    let second = send("/v1/tasks/actions/retry".into(), body).await;
    assert_eq!((count(&first), count(&second)), (1, 1), "{}", second.text());
    assert_eq!(first.json(), second.json());
    assert_eq!(first.json()["tasks"][0]["retry_of"], json!(old));
    send(format!("/v1/tasks/{old}/retry"), "{}".into()).await.assert_problem(422, "idempotency_key_reused");
    api.stop().await;
}

/// Two operators who press the same button: none is run for both of them.
#[tokio::test]
async fn many_searches_at_once_retry_none_twice() {
    let api = Api::start().await;
    let old = failed(&api, [0, 0], "e").await;
    api.sql(
        "WITH made AS MATERIALIZED (
            SELECT gen_random_uuid() AS new, t.* FROM task t, generate_series(1, 299) WHERE t.id = $1
         ), spec AS (
            INSERT INTO task_spec (id, owner_id, name, queue, priority, class, max_attempts, input)
            SELECT new, owner_id, name, queue, priority, class, max_attempts, input FROM made
         ), run AS (
            INSERT INTO task_run (id, owner_id, state, finished_at, error_code)
            SELECT new, owner_id, state, finished_at, error_code FROM made
         )
         INSERT INTO ended SELECT owner_id, state, new, queue, name, error_code FROM made",
        &[&old],
    )
    .await;
    let answers = join_all((0..8).map(|_| retry(&api, json!({ "filter": { "error_code": "e" } })))).await;
    let retried: u64 = answers.iter().map(count).sum();
    let told: usize = answers.iter().map(|answer| answer.json()["tasks"].as_array().unwrap().len()).sum();
    let rows = api.sql("SELECT count(*), count(DISTINCT retry_of) FROM task WHERE retry_of IS NOT NULL", &[]).await;
    assert_eq!((rows[0].get::<_, i64>(0), rows[0].get::<_, i64>(1)), (300, 300));
    assert_eq!((retried, told), (300, 300));
    api.stop().await;
}

/// The arguments of what is retried stay in the database.
#[tokio::test]
async fn retrying_many_large_tasks_costs_no_memory() {
    const TASKS: i64 = 400;
    const GROWTH_KIB_MAX: u64 = 30 << 10;
    let api = Api::start().await;
    let old = failed(&api, [0, 0], "e").await;
    let large = format!(r#"{{"args":["{}",1],"kwargs":{{}}}}"#, "x".repeat(250 << 10)).into_bytes();
    api.sql(
        "WITH made AS MATERIALIZED (
            SELECT gen_random_uuid() AS new, t.* FROM task t, generate_series(1, $3::int8) WHERE t.id = $1
         ), spec AS (
            INSERT INTO task_spec (id, owner_id, name, queue, priority, class, max_attempts, input)
            SELECT new, owner_id, name, queue, priority, class, max_attempts, $2 FROM made
         ), run AS (
            INSERT INTO task_run (id, owner_id, state, finished_at, error_code)
            SELECT new, owner_id, state, finished_at, 'large' FROM made
         )
         INSERT INTO ended SELECT owner_id, state, new, queue, name, 'large' FROM made",
        &[&old, &large, &TASKS],
    )
    .await;
    retry(&api, json!({ "filter": {}, "limit": 1 })).await; // everything is open and warm
    let before = rss_kib(&api);
    let answer = retry(&api, json!({ "filter": { "error_code": "large" } })).await;
    let grown = rss_kib(&api).saturating_sub(before);
    println!("retries: {grown} KiB more are resident after {TASKS} tasks of 250 KiB were retried");
    assert_eq!(count(&answer), TASKS.unsigned_abs() - 1);
    let inputs =
        "SELECT count(*), count(*) FILTER (WHERE n.input = o.input) FROM task n JOIN task o ON o.id = n.retry_of";
    let row = &api.sql(inputs, &[]).await[0];
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1), "the same arguments");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more are resident");
    api.stop().await;
}
