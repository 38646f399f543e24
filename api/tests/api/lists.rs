//! `GET /v1/tasks` and `GET /v1/quarantine`: by whatever an index serves, page by page, at the cost of a page.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{eventually::eventually_async, server::Api};

/// Tasks beside those that a search is to find. By hand it was tried with two million: the figures are in ARCHITECTURE.md.
const MANY: i64 = 50_000;
/// Rows and index entries that a page of ten may read.
const READ_MAX: i64 = 1_500;

async fn ids(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("/v1/tasks?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    let tasks = answer.json()["data"].as_array().unwrap().clone();
    tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

/// As if a worker had been there.
async fn end(api: &Api, id: Uuid, state: &str, error_code: &str) {
    let error =
        (!error_code.is_empty()).then(|| json!({ "code": error_code, "message": "no" }).to_string().into_bytes());
    api.sql(
        &format!(
            "UPDATE task_run SET state = '{state}', epoch = 1, attempt = 1, finished_at = now(), due_at = NULL, error = $2, error_code = '{error_code}' WHERE id = $1"
        ),
        &[&id, &error],
    )
    .await;
}

#[tokio::test]
async fn by_state_queue_name_code_tag_batch_and_time() {
    let api = Api::start().await;
    let submit = async |body: Value| api.submit(&body.to_string()).await.to_string();
    let queued = submit(json!({ "name": "add", "args": [1, 2], "tags": ["red", "blue", "äöü"] })).await;
    let later = submit(json!({ "name": "add", "args": [1, 2], "delay": 60, "tags": ["red"] })).await;
    let failed = submit(json!({ "name": "add", "args": [1, 2] })).await;
    end(&api, failed.parse().unwrap(), "failed", "no_luck").await;
    let done = submit(json!({ "name": "process_image", "args": [Uuid::nil()] })).await;
    end(&api, done.parse().unwrap(), "succeeded", "").await;
    let batch = json!({ "tasks": [{ "name": "add", "args": [1, 2] }, { "name": "add", "args": [3, 4] }] });
    let batch = api.post_json("/v1/tasks/batch", batch.to_string()).await.json();
    let of_batch: Vec<&str> = [1, 0].map(|index| batch["tasks"][index]["task"]["id"].as_str().unwrap()).into();
    let (batch_id, of_batch) = (batch["batch_id"].as_str().unwrap(), of_batch.iter().map(|id| (*id).to_owned()));

    let all: Vec<String> = of_batch.clone().chain([&done, &failed, &later, &queued].map(Clone::clone)).collect();
    assert_eq!(ids(&api, "").await, all, "the newest first");
    let some = |some: &[&String]| some.iter().map(|id| (*id).clone()).collect::<Vec<_>>();
    for (query, expected) in [
        ("state=scheduled", some(&[&later])),
        ("state=succeeded,failed", some(&[&done, &failed])),
        ("state=failed&error_code=no_luck", some(&[&failed])),
        ("error_code=no_luck&queue=tests&name=add", some(&[&failed])),
        ("state=failed&error_code=other", vec![]),
        ("name=process_image", some(&[&done])),
        ("name=nobody", vec![]),
        ("queue=elsewhere", vec![]),
        ("tag=red", some(&[&later, &queued])),
        ("tag=blue", some(&[&queued])),
        ("tag=%C3%A4%C3%B6%C3%BC", some(&[&queued])), // any text can be a tag, or an error's code
        ("tag=%C2%9B", vec![]),
        ("error_code=%C3%97", vec![]),
        (&format!("batch_id={batch_id}"), of_batch.collect()),
        ("created_before=2001-01-01T00:00:00Z", vec![]),
        ("created_after=2001-01-01T00:00:00Z&state=scheduled", some(&[&later])),
        ("created_after=9999-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(ids(&api, query).await, expected, "{query}");
    }
    let line = api.get("/v1/tasks?state=failed").await.json()["data"][0].clone();
    assert_eq!((&line["error"]["code"], &line["state"]), (&json!("no_luck"), &json!("failed")), "{line}");
    assert!(line.get("result").is_none(), "results are at their own address");
    api.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let api = Api::start().await;
    let mut submitted = Vec::new();
    for priority in 0..7 {
        submitted.insert(0, api.submit(&format!(r#"{{"name": "add", "args": [1, 2], "priority": {priority}}}"#)).await);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/tasks?limit=3&state=queued{cursor}")).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()));
        assert!(page["data"].as_array().unwrap().len() <= 3);
        // what comes in meanwhile is before the first page, and moves nothing
        api.submit(r#"{"name": "add", "args": [5, 6]}"#).await;
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, submitted.iter().map(ToString::to_string).collect::<Vec<_>>());
    api.stop().await;
}

#[tokio::test]
async fn what_no_index_serves_is_refused() {
    let api = Api::start().await;
    for (query, code, pointer) in [
        ("tag=a&state=failed", "unsupported_search", None),
        ("tag=a&batch_id=018f4b2e-7b1c-7000-8000-000000000001", "unsupported_search", None),
        ("worker=me", "unknown_parameter", Some("?worker")),
        ("state=done", "invalid_request", Some("?state")),
        ("state=failed&state=queued", "invalid_request", Some("?state")),
        ("limit=0", "invalid_request", Some("?limit")),
        ("limit=501", "invalid_request", Some("?limit")),
        ("cursor=x", "invalid_request", Some("?cursor")),
        ("batch_id=1", "invalid_request", Some("?batch_id")),
        ("created_after=yesterday", "invalid_request", Some("?created_after")),
        ("tag=", "invalid_request", Some("?tag")),
        ("name=%00", "invalid_request", Some("?name")),
        ("name=a%20b", "invalid_request", Some("?name")),
        ("queue=%C3%A4", "invalid_request", Some("?queue")),
        ("error_code=", "invalid_request", Some("?error_code")),
        (&format!("error_code={}", "x".repeat(65)), "invalid_request", Some("?error_code")),
        ("cursor=018f4b2e7b1c70008000000000000001", "invalid_request", Some("?cursor")),
        ("cursor=018f4b2e-7b1c-7000-8000-000000000001", "invalid_request", Some("?cursor")),
        ("created_before=2030-01-31T12:00:00%5BUTC%5D", "invalid_request", Some("?created_before")),
    ] {
        let problem = api.get(&format!("/v1/tasks?{query}")).await.assert_problem(422, code);
        if let Some(pointer) = pointer {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn a_page_costs_a_page_however_many_there_are() {
    let api = Api::start().await;
    let batch = Uuid::now_v7();
    api.sql(
        "WITH made AS MATERIALIZED (
            SELECT gen_random_uuid() AS id, CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'succeeded' END::task_state AS state
            FROM generate_series(1, $1::int8) i
         ), spec AS (
            INSERT INTO task_spec (id, owner_id, name, queue, priority, class, max_attempts, input, batch_id)
            SELECT id, 1, 'add', 'tests', 4, 1, 5, '{}', $2 FROM made
         ), run AS (
            INSERT INTO task_run (id, owner_id, state, finished_at, error_code)
            SELECT id, 1, state, now(), CASE state WHEN 'failed' THEN 'e' ELSE '' END FROM made
         )
         INSERT INTO ended SELECT 1, state, id, 'tests', 'add', 'e' FROM made WHERE state = 'failed'",
        &[&MANY, &batch],
    )
    .await;
    api.sql("INSERT INTO task_tag SELECT 1, 'all', id FROM task", &[]).await;
    let task = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    // few, because what it reads may be told late, and then counts for the first search below
    let middle = api.get("/v1/tasks?state=succeeded&limit=50").await.json()["next_cursor"].clone();
    for query in [
        "",
        "state=queued",
        "state=running",
        "state=failed",
        "state=failed&error_code=e",
        "state=failed,cancelled,expired",
        "error_code=e",
        "name=add",
        "queue=tests",
        "queue=tests&name=x",
        "queue=tests&name=add&state=succeeded",
        "tag=all",
        &format!("batch_id={batch}"),
        &format!("cursor={}", middle.as_str().unwrap()),
        "created_after=2001-01-01T00:00:00Z&created_before=9999-01-01T00:00:00Z",
    ] {
        let before = read_so_far(&api).await;
        let found = ids(&api, &format!("{query}&limit=10")).await.len();
        let expected = match query {
            "state=queued" => 1,
            "state=running" | "queue=tests&name=x" => 0,
            _ => 10,
        };
        assert_eq!(found, expected, "{query}");
        let read = eventually_async("the statistics", async || {
            // the counters of a connection are told when it has been idle for a moment; this one reads the row once more
            api.get(&format!("/v1/tasks/{task}")).await;
            let read = read_so_far(&api).await - before;
            (read > 0).then_some(read)
        })
        .await;
        println!("lists: {read} rows and entries read for {query:?}");
        assert!(read < READ_MAX, "{query}: {read} rows and entries read");
    }
    api.stop().await;
}

/// Rows and index entries read of the tables of tasks.
async fn read_so_far(api: &Api) -> i64 {
    let rows = api
        .sql(
            "SELECT (sum(t.seq_tup_read) + sum(coalesce(i.read, 0)))::int8 FROM pg_stat_user_tables t
             LEFT JOIN LATERAL (SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes x WHERE x.relid = t.relid) i ON true
             WHERE t.relname IN ('task_spec', 'task_run', 'task_tag', 'ended', 'backlog', 'hold')",
            &[],
        )
        .await;
    rows[0].get(0)
}

#[tokio::test]
async fn what_was_put_aside_is_shown() {
    let api = Api::start().await;
    assert_eq!(api.get("/v1/quarantine").await.json(), json!({ "data": [], "next_cursor": null }));
    for body in [b"one".as_slice(), b"\x00two"] {
        api.store.quarantine("caraway.v1.default.normal", "undecodable", body).await.unwrap();
    }
    let first = api.get("/v1/quarantine?limit=1").await.json();
    assert_eq!(
        (&first["data"][0]["body_hex"], &first["data"][0]["reason"]),
        (&json!("0074776f"), &json!("undecodable"))
    );
    let second = api.get(&format!("/v1/quarantine?cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    assert_eq!((&second["data"][0]["body_hex"], &second["next_cursor"]), (&json!("6f6e65"), &Value::Null));
    api.get("/v1/quarantine?cursor=x").await.assert_problem(422, "invalid_request");
    api.stop().await;
}

#[tokio::test]
async fn a_cursor_is_of_its_list_and_its_version() {
    let api = Api::start().await;
    for _ in 0..2 {
        api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
        api.store.quarantine("caraway.v1.default.normal", "undecodable", b"x").await.unwrap();
    }
    let cursor = api.get("/v1/tasks?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
    assert_eq!(api.get(&format!("/v1/tasks?cursor={cursor}")).await.json()["data"].as_array().unwrap().len(), 1);
    let other = api.get("/v1/quarantine?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    // the first character holds bits of the version only
    let (cut, later) = (&cursor[..cursor.len() - 4], format!("B{}", &cursor[1..]));
    for (path, word) in [
        (format!("/v1/tasks?cursor={other}"), "of this list"),
        (format!("/v1/quarantine?cursor={cursor}"), "of this list"),
        (format!("/v1/tasks?cursor={cut}"), "of this list"),
        (format!("/v1/tasks?cursor={later}"), "another version"),
        (format!("/v1/tasks?cursor={}", "A".repeat(2000)), "of this list"),
    ] {
        let problem = api.get(&path).await.assert_problem(422, "invalid_request");
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], "?cursor");
        assert!(error["detail"].as_str().unwrap().contains(word), "{path}: {error}");
    }
    for action in ["cancel", "retry"] {
        let body = json!({ "filter": {}, "dry_run": true, "cursor": other }).to_string();
        let problem =
            api.post_json(&format!("/v1/tasks/actions/{action}"), body).await.assert_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/cursor");
    }
    api.stop().await;
}
