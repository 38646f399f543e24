//! Quotas that are counted: tasks that have not started, and bytes of items. What they hold back, what they do not, and whom.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    access::{ask, make_key, make_user},
    answer::Answer,
    database::drop_database,
    eventually::eventually_async,
    items::{FORM, form},
    server::{Api, Setup},
};

/// An API, its operator, and a user with quotas.
pub struct World {
    pub api: Api,
    pub operator: String,
    pub user: i64,
    /// The user's.
    pub key: String,
}

impl World {
    pub async fn with(setup: Setup, quotas: Value) -> Self {
        let api = setup.start().await;
        api.announce(&[("add", &["x", "y"]), ("process_image", &["image_id"])]).await;
        let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
        let made = json!({"name": "limited", "quotas": quotas});
        let made = ask(&api, &Method::POST, "/v1/users", Some(&operator), Some(made)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        let user = made.json()["id"].as_i64().unwrap();
        let key = json!({"name": "k", "scopes": ["submit", "read", "cancel"], "user_id": user});
        let (key, _) = make_key(&api, Some(&operator), key).await;
        Self { api, operator, user, key }
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        ask(&self.api, &method, path, Some(&self.key), body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.api.client.post(format!("{}{path}", self.api.url)).bearer_auth(&self.key);
        Answer::of(request.header("idempotency-key", key).json(body).send().await.unwrap()).await
    }

    /// The operator changes the quotas.
    pub async fn set(&self, quotas: Value) -> Answer {
        let path = format!("/v1/users/{}/quotas", self.user);
        ask(&self.api, &Method::PUT, &path, Some(&self.operator), Some(quotas)).await
    }

    async fn upload(&self, bytes: usize) -> Answer {
        let request = self.api.client.post(format!("{}/items", self.api.url)).bearer_auth(&self.key);
        Answer::of(request.body(vec![b'x'; bytes]).send().await.unwrap()).await
    }

    /// Without a length, so that the end of the body is the first that is known of it.
    async fn stream(&self, bytes: usize) -> Answer {
        Answer::of(self.form(bytes).send().await.unwrap()).await
    }

    fn form(&self, bytes: usize) -> reqwest::RequestBuilder {
        let request = self.api.client.post(format!("{}/items", self.api.url)).bearer_auth(&self.key);
        let body = form(&[("", &vec![b'x'; bytes])]);
        request.header(header::CONTENT_TYPE, FORM).body(body)
    }

    async fn count(&self, what: &str) -> i64 {
        self.api.sql(&format!("SELECT count(*) FROM {what} AND owner_id = $1"), &[&self.user]).await[0].get(0)
    }

    /// Another API over the same database.
    pub async fn beside(&self, redis_url: &str) -> Api {
        let mut beside = Setup::new().await;
        drop_database(&beside.postgres_url).await;
        (beside.postgres_url, beside.redis_url) = (self.api.postgres_url.clone(), redis_url.into());
        beside.start().await
    }
}

const UNSTARTED: &str = "task WHERE state IN ('scheduled', 'waiting', 'queued')";

fn add() -> Value {
    json!({"name": "add", "args": [1, 2]})
}

#[track_caller]
fn assert_exceeded(answer: &Answer, quota: &str, limit: i64) {
    let problem = answer.assert_problem(429, "quota_exceeded");
    assert_eq!(
        (&problem["quota"], &problem["limit"], &problem["retryable"]),
        (&json!(quota), &json!(limit), &json!(true))
    );
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
}

#[tokio::test]
async fn tasks_that_have_not_started_are_held_to_their_quota_whatever_way_they_come() {
    let world = World::with(Setup::new().await, json!({"queued_tasks": 4})).await;
    let first = world.keyed("/v1/tasks", "one", &add()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text());
    let later = json!({"name": "add", "args": [1, 2], "delay": 3600});
    assert_eq!(world.post("/v1/tasks", later).await.status, StatusCode::ACCEPTED, "scheduled");
    let chain = json!({"steps": [{"task": add()}, {"task": {"name": "add", "args": [1]}}]});
    let chain = world.keyed("/v1/chains", "two", &chain).await;
    assert_eq!(chain.status, StatusCode::ACCEPTED, "one queued, one waiting: {}", chain.text());

    // full: one way in after the other
    let image = world.upload_image().await;
    for (path, body) in [
        ("/v1/tasks", add()),
        ("/v1/tasks", json!({"name": "add", "args": [1, 2], "unique": {"while": "incomplete"}})),
        ("/v1/tasks/batch", json!({"tasks": [add()]})),
        ("/v1/groups", json!({"tasks": [add()]})),
        ("/v1/map", json!({"task": {"name": "add", "kwargs": {"y": 1}}, "items": [1]})),
        (&format!("/process-image/{image}"), json!({})),
    ] {
        assert_exceeded(&world.post(path, body).await, "queued_tasks", 4);
    }
    assert_exceeded(&world.keyed("/v1/tasks", "new", &add()).await, "queued_tasks", 4);
    assert_eq!(world.count(UNSTARTED).await, 4);

    // what was answered is answered again
    let again = world.keyed("/v1/tasks", "one", &add()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    let chain = json!({"steps": [{"task": add()}, {"task": {"name": "add", "args": [1]}}]});
    let again = world.keyed("/v1/chains", "two", &chain).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::ACCEPTED, "true"));

    // other users, and reads, are not touched
    assert_eq!(ask(&world.api, &Method::POST, "/v1/tasks", Some(&world.operator), Some(add())).await.status, 202);
    assert_eq!(world.ask(Method::GET, "/v1/tasks", None).await.status, StatusCode::OK);

    // what has ended makes room, and what was refused goes in, under the same key
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.post(&format!("/v1/tasks/{id}/cancel"), json!({})).await.status, StatusCode::OK);
    let refused = eventually_async("room", async || {
        let answer = world.keyed("/v1/tasks", "new", &add()).await;
        (answer.status == StatusCode::ACCEPTED).then_some(answer)
    });
    assert_eq!(refused.await.header("idempotency-replayed"), "");
    assert_exceeded(&world.post(&format!("/v1/tasks/{id}/retry"), json!({})).await, "queued_tasks", 4);
    assert_exceeded(&world.post("/v1/tasks/actions/retry", json!({"ids": [id]})).await, "queued_tasks", 4);
    let dry = world.post("/v1/tasks/actions/retry", json!({"ids": [id], "dry_run": true})).await;
    assert_eq!(dry.status, StatusCode::OK, "nothing is done");
    world.api.stop().await;
}

impl World {
    async fn upload_image(&self) -> String {
        let png = b"\x89PNG\r\n\x1a\n and nothing more, which only a worker would find out";
        let request = self.api.client.post(format!("{}/items", self.api.url)).bearer_auth(&self.key);
        let answer = Answer::of(request.body(png.to_vec()).send().await.unwrap()).await;
        answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
    }
}

#[tokio::test]
async fn a_batch_goes_in_whole_or_not_at_all_and_a_workflow_is_retried_within_the_quota() {
    let world = World::with(Setup::new().await, json!({"queued_tasks": 3})).await;
    let wrong = json!({"name": "never_heard_of"});
    let batch = world.post("/v1/tasks/batch", json!({"tasks": [add(), add(), wrong, add()]})).await.json();
    assert_eq!(batch["accepted"], 3, "{batch}");
    world.api.sql("UPDATE task_run SET state = 'running' WHERE owner_id = $1", &[&world.user]).await;
    let four = json!({"tasks": [add(), add(), add(), add()]});
    assert_exceeded(&world.post("/v1/tasks/batch", four).await, "queued_tasks", 3);
    assert_eq!(world.count("task WHERE true").await, 3, "nothing of it is in");

    // what runs does not count
    let group = world.post("/v1/groups", json!({"tasks": [add(), add()]})).await;
    assert_eq!(group.status, StatusCode::ACCEPTED, "{}", group.text());
    let id = group.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.post(&format!("/v1/workflows/{id}/cancel"), json!({})).await.status, StatusCode::OK);
    let filled = eventually_async("room for three", async || {
        let three = json!({"tasks": [add(), add(), add()]});
        (world.post("/v1/tasks/batch", three).await.status == StatusCode::OK).then_some(())
    });
    filled.await;
    assert_exceeded(&world.post(&format!("/v1/workflows/{id}/retry"), json!({})).await, "queued_tasks", 3);
    assert_eq!(world.set(json!({"queued_tasks": 5})).await.status, StatusCode::OK);
    let retried = eventually_async("the workflow again", async || {
        let retried = world.post(&format!("/v1/workflows/{id}/retry"), json!({})).await;
        (retried.status == StatusCode::ACCEPTED).then_some(())
    });
    retried.await;
    assert_eq!(world.count(UNSTARTED).await, 5);
    world.api.stop().await;
}

#[tokio::test]
async fn many_at_once_in_one_process_pass_it_by_nothing() {
    let world = World::with(Setup::new().await, json!({"queued_tasks": 137})).await;
    let (accepted, refused) = flood(&[&world.api.url], &world, 400).await;
    println!("quotas: one process, 400 at once, quota 137: {accepted} accepted, {refused} refused");
    assert_eq!((accepted, world.count(UNSTARTED).await), (137, 137));
    assert_eq!(refused, 400 - 137);
    world.api.stop().await;
}

#[tokio::test]
async fn many_at_once_in_two_processes_pass_it_by_a_tenth_at_most() {
    let setup = Setup::new().await;
    let redis_url = setup.redis_url.clone();
    let world = World::with(setup, json!({"queued_tasks": 200})).await;
    let beside = world.beside(&redis_url).await;
    let (accepted, refused) = flood(&[&world.api.url, &beside.url], &world, 600).await;
    println!("quotas: two processes, 600 at once, quota 200: {accepted} accepted, {refused} refused");
    // what is committed while the other counts comes to it: one commit of what was let through one by one
    assert!((200..=220 + 16).contains(&accepted), "{accepted}");
    assert_eq!(world.count(UNSTARTED).await, accepted);
    drop(beside);
    world.api.stop().await;
}

/// So many submissions at once; how many were accepted, and how many refused.
async fn flood(urls: &[&str], world: &World, requests: usize) -> (i64, i64) {
    let mut clients = JoinSet::new();
    for number in 0..requests {
        let request = world.api.client.post(format!("{}/v1/tasks", urls[number % urls.len()])).bearer_auth(&world.key);
        let request = request.json(&add());
        clients.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let (mut accepted, mut refused) = (0, 0);
    while let Some(status) = clients.join_next().await {
        match status.unwrap() {
            202 => accepted += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    (accepted, refused)
}

#[tokio::test]
async fn a_user_without_a_quota_is_never_counted_and_one_far_below_it_seldom() {
    let world = World::with(Setup::new().await, json!({"queued_tasks": 10_000})).await;
    for _ in 0..50 {
        assert_eq!(world.post("/v1/tasks", add()).await.status, StatusCode::ACCEPTED);
        let free = ask(&world.api, &Method::POST, "/v1/tasks", Some(&world.operator), Some(add())).await;
        assert_eq!(free.status, StatusCode::ACCEPTED);
    }
    let metrics = world.api.get("/metrics").await.text();
    let counts =
        metrics.lines().find_map(|line| line.strip_prefix("caraway_quota_counts_total{quota=\"queued_tasks\"} "));
    let counts: u32 = counts.unwrap().parse().unwrap();
    println!("quotas: 50 tasks of a user with a quota of 10000 were counted {counts} times");
    assert!((1..=10).contains(&counts), "{counts}");
    world.api.stop().await;
}

#[tokio::test]
async fn bytes_of_items_are_held_to_their_quota_at_the_start_and_at_the_end() {
    const QUOTA: usize = 1_000_000;
    let world = World::with(Setup::new().await, json!({"stored_bytes": QUOTA})).await;
    let stored = world.upload(600_000).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text());
    assert_exceeded(&world.upload(400_001).await, "stored_bytes", 1_000_000);
    assert_exceeded(&world.stream(400_001).await, "stored_bytes", 1_000_000);
    assert_eq!(world.stream(400_000).await.status, StatusCode::CREATED, "to the byte");
    assert_exceeded(&world.upload(1).await, "stored_bytes", 1_000_000);
    let free = world.api.client.post(format!("{}/items", world.api.url)).bearer_auth(&world.operator).body("x");
    assert_eq!(free.send().await.unwrap().status(), 201, "of another user");
    eventually_async("the end of what was refused", async || (world.count("item WHERE true").await == 2).then_some(()))
        .await;
    let id = stored.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.ask(Method::DELETE, &format!("/items/{id}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.upload(600_000).await.status, StatusCode::CREATED);
    world.api.stop().await;
}

#[tokio::test]
async fn values_and_work_items_count_beside_items() {
    let world = World::with(Setup::new().await, json!({"stored_bytes": 1_000_000})).await;
    let text = |bytes: usize| "x".repeat(bytes - 2); // and its quotes
    assert_eq!(world.upload(400_000).await.status, StatusCode::CREATED);
    let put = async |key: &str, bytes| {
        world.ask(Method::PUT, &format!("/v1/data/{key}"), Some(json!({"value": text(bytes)}))).await
    };
    let (one, other) = (crate::data::key(), crate::data::key());
    assert_eq!(put(&one, 500_000).await.status, StatusCode::OK);
    assert_eq!(put(&one, 550_000).await.status, StatusCode::OK, "it takes the place of what was there");
    assert_exceeded(&put(&other, 50_001).await, "stored_bytes", 1_000_000);
    let update = world.post(&format!("/update-data/{other}"), json!({"new_value": text(50_001)})).await;
    assert_exceeded(&update, "stored_bytes", 1_000_000);

    let queue = format!("/v1/work-queues/{other}");
    assert!(world.ask(Method::PUT, &queue, Some(json!({}))).await.status.is_success());
    let item = json!({"item_id": uuid::Uuid::now_v7(), "payload": text(50_000)});
    let items = format!("{queue}/items");
    assert_eq!(world.post(&items, item.clone()).await.status, StatusCode::CREATED, "to the byte");
    assert_eq!(world.post(&items, item).await.status, StatusCode::OK, "it is the same one");
    assert_exceeded(&world.post(&items, json!({"payload": 1})).await, "stored_bytes", 1_000_000);
    assert_exceeded(&world.upload(1).await, "stored_bytes", 1_000_000);
    let gone = world.ask(Method::DELETE, &format!("/v1/data/{one}"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    assert_eq!(world.upload(550_000).await.status, StatusCode::CREATED);
    world.api.stop().await;
}

#[tokio::test]
async fn an_upload_that_cannot_fit_is_refused_before_its_body_is_read() {
    let world = World::with(Setup::new().await, json!({"stored_bytes": 1000})).await;
    let head = format!(
        "POST /items HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 1001\r\n\r\n",
        world.key
    );
    let port = world.api.port;
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = crate::raw::connect(port);
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(answer.await.unwrap(), "HTTP/1.1 429");
    world.api.stop().await;
}

#[tokio::test]
async fn uploads_that_end_at_once_pass_it_by_nothing_in_one_process() {
    let world = World::with(Setup::new().await, json!({"stored_bytes": 1_000_000})).await;
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let request = world.form(300_000);
        clients.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = clients.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 429].contains(status)), "{statuses:?}");
    world.api.stop().await;
}

#[tokio::test]
async fn only_the_operator_sets_quotas_and_they_are_shown() {
    let world = World::with(Setup::new().await, json!({"queued_tasks": 7})).await;
    let own = world.ask(Method::GET, &format!("/users/{}", world.user), None).await.json();
    assert_eq!(own["quotas"], json!({"queued_tasks": 7, "stored_bytes": null, "requests_per_second": null}));
    let all = json!({"queued_tasks": 0, "stored_bytes": 5, "requests_per_second": 1_000_000});
    assert_eq!(world.set(all.clone()).await.json()["quotas"], all);
    assert_exceeded(&world.post("/v1/tasks", add()).await, "queued_tasks", 0);
    assert_eq!(world.set(json!({})).await.json()["quotas"], all, "what is left out stays");
    let ended = world.set(json!({"queued_tasks": null})).await.json()["quotas"].clone();
    assert_eq!(
        (&ended["queued_tasks"], &ended["requests_per_second"]),
        (&Value::Null, &all["requests_per_second"]),
        "null is no limit"
    );
    assert_eq!(world.post("/v1/tasks", add()).await.status, StatusCode::ACCEPTED);
    for (wrong, pointer) in [
        (json!({"queued_tasks": -1}), "/queued_tasks"),
        (json!({"stored_bytes": 1.5}), "/stored_bytes"),
        (json!({"requests_per_second": 0}), "/requests_per_second"),
        (json!({"requests_per_second": 1_000_001}), "/requests_per_second"),
        (json!({"requests": 1}), "/requests"),
    ] {
        let answer = world.set(wrong).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["errors"][0]["pointer"]), (422, &json!(pointer)));
    }
    let path = "/v1/users/999/quotas";
    let nobody = ask(&world.api, &Method::PUT, path, Some(&world.operator), Some(json!({}))).await;
    nobody.assert_problem(404, "user_not_found");
    let (theirs, _) = make_key(
        &world.api,
        Some(&world.operator),
        json!({"name": "admin", "scopes": ["admin"], "user_id": make_user(&world.api, &world.operator, "other").await}),
    )
    .await;
    ask(&world.api, &Method::PUT, path, Some(&theirs), Some(json!({}))).await.assert_problem(403, "missing_scope");
    world.api.stop().await;
}

#[tokio::test]
async fn an_open_installation_has_no_limits_until_its_operator_sets_some() {
    let api = Api::start().await;
    assert_eq!(api.get("/v1/queues").await.header("ratelimit"), "");
    let set = ask(&api, &Method::PUT, "/v1/users/1/quotas", None, Some(json!({"queued_tasks": 1}))).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text());
    api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    assert_exceeded(&api.post_json("/v1/tasks", r#"{"name": "add", "args": [1, 2]}"#).await, "queued_tasks", 1);
    api.stop().await;
}
