//! What can be done to tasks that exist: cancelled by a search, deleted, moved to another time.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{answer::Answer, server::Api};

const UNKNOWN: &str = "018f4b2e-7b1c-7000-8000-000000000001";

async fn cancel(api: &Api, body: Value) -> Value {
    let answer = api.post_json("/v1/tasks/actions/cancel", body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn ask(api: &Api, method: Method, task: &str, body: &str) -> Answer {
    let request = api.client.request(method, format!("{}/v1/tasks/{task}", api.url));
    let request = request.header("content-type", "application/json").body(body.to_owned());
    Answer::of(request.send().await.unwrap()).await
}

async fn set(api: &Api, task: Uuid, state: &str) {
    let ended = if ["running", "queued"].contains(&state) { "NULL" } else { "now()" };
    let sql =
        format!("UPDATE task_run SET state = '{state}', epoch = 1, attempt = 1, finished_at = {ended} WHERE id = $1");
    api.sql(&sql, &[&task]).await;
}

async fn state(api: &Api, task: Uuid) -> String {
    api.get(&format!("/v1/tasks/{task}")).await.json()["state"].as_str().unwrap().to_owned()
}

fn statuses(answer: &Value) -> Vec<(String, u64)> {
    let entry = |entry: &Value| (entry["id"].as_str().unwrap().to_owned(), entry["status"].as_u64().unwrap());
    answer["tasks"].as_array().unwrap().iter().map(entry).collect()
}

#[tokio::test]
async fn many_are_cancelled_by_id() {
    let api = Api::start().await;
    let task = r#"{"name": "add", "args": [1, 2]}"#;
    let (queued, running, done) = (api.submit(task).await, api.submit(task).await, api.submit(task).await);
    let later = api.submit(r#"{"name": "add", "args": [1, 2], "delay": 600}"#).await;
    set(&api, running, "running").await;
    set(&api, done, "succeeded").await;
    let group = api.post_json("/v1/groups", format!(r#"{{"tasks": [{task}]}}"#)).await.json();
    let node = api.get(&format!("/v1/workflows/{}", group["id"].as_str().unwrap())).await.json();
    let node: Uuid = node["nodes"]["data"][0]["task_id"].as_str().unwrap().parse().unwrap();
    let ids = json!([queued, running, done, later, node, UNKNOWN]);
    let wanted =
        [(queued, 200), (running, 202), (done, 409), (later, 200), (node, 200), (UNKNOWN.parse().unwrap(), 404)];
    let wanted: Vec<_> = wanted.map(|(id, status)| (id.to_string(), status)).into();
    let would = cancel(&api, json!({ "ids": ids, "dry_run": true })).await;
    assert_eq!((statuses(&would), &would["cancelled"], &would["requested"]), (wanted.clone(), &json!(3), &json!(1)));
    assert_eq!(state(&api, queued).await, "queued", "nothing was done");
    let did = cancel(&api, json!({ "ids": ids })).await;
    assert_eq!((statuses(&did), &did["cancelled"], &did["requested"]), (wanted, &json!(3), &json!(1)));
    assert_eq!(did["tasks"][2]["problem"]["code"], "task_already_finished");
    for (task, stands) in
        [(queued, "cancelled"), (running, "running"), (done, "succeeded"), (later, "cancelled"), (node, "cancelled")]
    {
        assert_eq!(state(&api, task).await, stands);
    }
    let logged = api.sql("SELECT action, object, detail->>'tasks' FROM audit", &[]).await;
    let logged: Vec<[String; 3]> = logged.iter().map(|row| [0, 1, 2].map(|at| row.get(at))).collect();
    assert_eq!(logged, [["tasks.cancel", "ids", "5"].map(String::from)], "the dry run was none");
    let again = cancel(&api, json!({ "ids": [queued, running] })).await;
    assert_eq!(statuses(&again), [(queued.to_string(), 200), (running.to_string(), 202)], "safe to repeat");
    api.stop().await;
}

#[tokio::test]
async fn many_are_cancelled_by_a_search_page_by_page() {
    let api = Api::start().await;
    api.announce(&[("other", &["x"])]).await;
    let mut adds = Vec::new();
    for _ in 0..5 {
        adds.push(api.submit(r#"{"name": "add", "args": [1, 2], "tags": ["red"]}"#).await);
    }
    let other = api.submit(r#"{"name": "other", "args": [1]}"#).await;
    let ended = api.submit(r#"{"name": "add", "args": [1, 2], "tags": ["red"]}"#).await;
    set(&api, ended, "succeeded").await;
    let mut body = json!({ "filter": { "name": "add", "state": "queued,scheduled" }, "limit": 2 });
    let mut found = Vec::new();
    loop {
        let page = cancel(&api, body.clone()).await;
        found.extend(statuses(&page).into_iter().map(|(id, _)| id));
        if page["next_cursor"].is_null() {
            break;
        }
        body["cursor"] = page["next_cursor"].clone();
    }
    adds.reverse();
    assert_eq!(found, adds.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!((state(&api, other).await, state(&api, ended).await), ("queued".into(), "succeeded".into()));
    let tagged = cancel(&api, json!({ "filter": { "tag": "red" } })).await;
    assert_eq!((&tagged["tasks"], &tagged["next_cursor"]), (&json!([]), &json!(null)), "all of these have ended");
    let rest = cancel(&api, json!({ "filter": {} })).await;
    assert_eq!(statuses(&rest), [(other.to_string(), 200)]);
    for (bad, pointer) in [
        (json!({}), "/filter"),
        (json!({ "ids": [], "dry_run": true }), "/ids"),
        (json!({ "ids": [UNKNOWN, UNKNOWN] }), "/ids"),
        (json!({ "ids": [UNKNOWN], "limit": 1 }), "/ids"),
        (json!({ "filter": { "state": "SUCCEEDED" } }), "/filter/state"),
        (json!({ "filter": { "tag": "a", "name": "add" } }), "/filter/tag"),
    ] {
        let problem =
            api.post_json("/v1/tasks/actions/cancel", bad.to_string()).await.assert_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    api.stop().await;
}

#[tokio::test]
async fn what_has_ended_can_be_deleted() {
    let api = Api::start().await;
    let task = r#"{"name": "add", "args": [1, 2], "tags": ["red"], "unique": {"key": "k"}}"#;
    let id = api.submit(task).await;
    let refused = ask(&api, Method::DELETE, &id.to_string(), "").await.assert_problem(409, "task_not_finished");
    assert_eq!(refused["state"], "queued");
    set(&api, id, "succeeded").await;
    api.sql("INSERT INTO attempt (task_id, epoch, attempt, outcome) VALUES ($1, 0, 1, 'failed')", &[&id]).await;
    assert_eq!(state(&api, id).await, "succeeded", "a copy lies in the cache now");
    assert_eq!(ask(&api, Method::DELETE, &id.to_string(), "").await.status, 204);
    for path in ["", "/result", "/attempts"] {
        api.get(&format!("/v1/tasks/{id}{path}")).await.assert_problem(404, "task_not_found");
    }
    assert_eq!(api.get("/v1/tasks?tag=red").await.json()["data"], json!([]));
    assert_eq!(api.sql("SELECT FROM audit WHERE action = 'task.delete'", &[]).await.len(), 1);
    for table in ["task_spec", "task_run", "ended", "attempt", "task_tag", "task_unique"] {
        assert_eq!(api.sql(&format!("SELECT FROM {table}"), &[]).await.len(), 0, "{table}");
    }
    for gone in [id.to_string(), UNKNOWN.into(), "x".into()] {
        ask(&api, Method::DELETE, &gone, "").await.assert_problem(404, "task_not_found");
    }
    let group = api.post_json("/v1/groups", r#"{"tasks": [{"name": "add", "args": [1, 2]}]}"#).await.json();
    let workflow = group["id"].as_str().unwrap();
    let node = api.get(&format!("/v1/workflows/{workflow}")).await.json()["nodes"]["data"][0]["task_id"].clone();
    api.post(&format!("/v1/tasks/{}/cancel", node.as_str().unwrap()), "", "").await;
    let refused = ask(&api, Method::DELETE, node.as_str().unwrap(), "").await.assert_problem(409, "task_in_workflow");
    assert_eq!(refused["workflow_id"], workflow);
    api.stop().await;
}

#[tokio::test]
async fn a_scheduled_task_is_moved() {
    let api = Api::start().await;
    let id = api
        .submit(r#"{"name": "add", "args": [1, 2], "delay": 600, "expires_at": "2900-01-01T00:00:00Z"}"#)
        .await
        .to_string();
    let moved = ask(&api, Method::PATCH, &id, r#"{"run_at": "2600-01-01T00:00:00Z"}"#).await;
    assert_eq!((moved.status.as_u16(), &moved.json()["run_at"]), (200, &json!("2600-01-01T00:00:00Z")), "{moved:?}");
    let late = ask(&api, Method::PATCH, &id, r#"{"run_at": "2900-01-01T00:00:00Z"}"#).await;
    assert_eq!(late.assert_problem(422, "invalid_request")["errors"][0]["pointer"], "/run_at");
    let now = ask(&api, Method::PATCH, &id, r#"{"delay": 0}"#).await;
    assert_eq!(now.status, 200, "{now:?}");
    assert_eq!(api.sql("SELECT FROM task WHERE due_at <= now() AND state = 'scheduled'", &[]).await.len(), 1, "due");
    for (body, pointer) in [
        ("{}", "/run_at"),
        (r#"{"delay": -1}"#, "/delay"),
        (r#"{"delay": 1, "run_at": "2600-01-01T00:00:00Z"}"#, "/run_at"),
    ] {
        let problem = ask(&api, Method::PATCH, &id, body).await.assert_problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    ask(&api, Method::PATCH, &id, r#"{"priority": 9}"#).await.assert_problem(422, "invalid_request");
    let queued = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await.to_string();
    let refused = ask(&api, Method::PATCH, &queued, r#"{"delay": 5}"#).await.assert_problem(409, "task_not_scheduled");
    assert_eq!(refused["state"], "queued");
    ask(&api, Method::PATCH, UNKNOWN, r#"{"delay": 5}"#).await.assert_problem(404, "task_not_found");
    api.stop().await;
}
