//! `POST /v1/tasks/wait`: many tasks in one request.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    answer::Answer,
    coordination::{ask, post},
    eventually::eventually_async,
    hangup::waits,
    server::{Api, NOWHERE, Setup},
};

const WAIT: &str = "/v1/tasks/wait";

async fn submit(api: &Api) -> Uuid {
    api.submit(r#"{"name": "add", "args": [1, 2]}"#).await
}

/// As a worker records it, without telling anybody.
async fn end(api: &Api, id: Uuid, change: &str) {
    let change = format!("UPDATE task_run SET epoch = 1, attempt = 1, finished_at = now(), {change} WHERE id = $1");
    api.sql(&change, &[&id]).await;
}

fn later(api: &Api, ids: &[Uuid], until: &str) -> JoinHandle<Answer> {
    let (client, url) = (api.client.clone(), format!("{}{WAIT}?wait=20", api.url));
    let body = json!({"ids": ids, "until": until});
    tokio::spawn(async move { Answer::of(client.post(url).json(&body).send().await.unwrap()).await })
}

async fn waits_are(api: &Api, count: u32) {
    eventually_async("the waits", async || ((waits(api).await - f64::from(count)).abs() < 0.5).then_some(())).await;
}

#[tokio::test]
async fn where_tasks_stand_is_told_in_the_order_given() {
    let api = Api::start().await;
    let dropped = api.submit(r#"{"name": "add", "args": [1, 2], "store_result": false}"#).await;
    let ids = [submit(&api).await, submit(&api).await, dropped, submit(&api).await, Uuid::new_v4()];
    end(&api, ids[0], "state = 'succeeded', result = '{\"b\":1.50,\"a\":[ ]}'").await;
    end(&api, ids[1], "state = 'failed', error = '{\"code\":\"boom\",\"message\":\"it broke\"}'").await;
    end(&api, ids[2], "state = 'succeeded'").await;
    let answer = post(&api, WAIT, json!({"ids": ids})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(answer.text().contains(r#""result":{"b":1.50,"a":[ ]}"#), "byte for byte: {}", answer.text());
    let told = answer.json();
    assert_eq!((&told["done"], &told["ended"]), (&json!(false), &json!(4)), "one is under way: {told}");
    let error = json!({"code": "boom", "message": "it broke"});
    for (at, expected) in [
        json!({"id": ids[0], "state": "succeeded", "result": {"b": 1.5, "a": []}, "store_result": true}),
        json!({"id": ids[1], "state": "failed", "result": null, "error": error}),
        json!({"id": ids[2], "state": "succeeded", "result": null, "store_result": false}),
        json!({"id": ids[3], "state": "queued"}),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(told["tasks"][at], expected);
    }
    let missing = &told["tasks"][4];
    assert_eq!((&missing["id"], &missing["problem"]["code"]), (&json!(ids[4]), &json!("task_not_found")), "{missing}");
    assert_eq!(missing.get("state"), None);
    // in another order, and all that is left has ended
    let told = post(&api, WAIT, json!({"ids": [ids[4], ids[1], ids[0]], "until": "all"})).await.json();
    assert_eq!((&told["done"], &told["tasks"][1]["id"]), (&json!(true), &json!(ids[1])), "{told}");
    api.stop().await;
}

#[tokio::test]
async fn one_or_all_are_waited_for_without_redis_too() {
    for redis in [true, false] {
        let mut setup = Setup::new().await;
        if !redis {
            setup.redis_url = format!("redis://{NOWHERE}");
        }
        let api = setup.start().await;
        api.announce(&[("add", &["x", "y"])]).await;
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(submit(&api).await);
        }
        let (any, all) = (later(&api, &ids, "any"), later(&api, &ids, "all"));
        waits_are(&api, 40).await;
        let cancel = async |id: &Uuid| {
            let cancelled = ask(&api, Method::POST, &format!("/v1/tasks/{id}/cancel"), None).await;
            assert_eq!(cancelled.status, StatusCode::OK);
        };
        cancel(&ids[7]).await;
        let any = any.await.unwrap().json();
        assert_eq!(
            (&any["done"], &any["ended"], &any["tasks"][7]["state"]),
            (&json!(true), &json!(1), &json!("cancelled"))
        );
        for id in ids.iter().filter(|id| **id != ids[7]) {
            assert!(!all.is_finished());
            cancel(id).await;
        }
        let all = all.await.unwrap().json();
        assert_eq!((&all["done"], &all["ended"]), (&json!(true), &json!(20)), "{all}");
        waits_are(&api, 0).await;
        // nothing to wait for, and nothing that ends in time
        let began = Instant::now();
        let told = post(&api, &format!("{WAIT}?wait=20"), json!({"ids": ids})).await.json();
        assert!(told["done"] == true && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let open = submit(&api).await;
        for (until, done) in [("any", true), ("all", false)] {
            let body = json!({"ids": [open, ids[0]], "until": until});
            let told = post(&api, &format!("{WAIT}?wait=0.3"), body).await.json();
            assert_eq!((&told["done"], &told["ended"]), (&json!(done), &json!(1)), "{told}");
        }
        api.stop().await;
    }
}

#[tokio::test]
async fn results_beyond_the_bound_are_left_out_and_it_is_said() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        let id = submit(&api).await;
        end(&api, id, "state = 'succeeded', result = convert_to('\"' || repeat('x', 900000) || '\"', 'UTF8')").await;
        ids.push(id);
    }
    let answer = post(&api, WAIT, json!({"ids": ids})).await;
    assert!(answer.body.len() < (5 << 20) + 4096, "{}", answer.body.len());
    let told = answer.json();
    let tasks = told["tasks"].as_array().unwrap();
    let whole = tasks.iter().filter(|task| task["result"].is_string()).count();
    let omitted = tasks.iter().filter(|task| task["omitted"] == true && task.get("result").is_none()).count();
    assert_eq!((whole, omitted, &told["done"]), (5, 3, &json!(true)));
    api.stop().await;
}

#[tokio::test]
async fn a_thousand_at_once_and_what_is_wrong_is_said() {
    let api = Api::start().await;
    let batch: Vec<Value> = (0..1000).map(|_| json!({"name": "add", "args": [1, 2]})).collect();
    let accepted = post(&api, "/v1/tasks/batch", json!({ "tasks": batch })).await.json();
    let ids: Vec<Uuid> = accepted["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["id"].as_str().or(task["task"]["id"].as_str()).unwrap().parse().unwrap())
        .collect();
    let all = later(&api, &ids, "all");
    waits_are(&api, 1000).await;
    let cancelled = post(&api, "/v1/tasks/actions/cancel", json!({ "ids": ids })).await;
    assert_eq!(cancelled.status, StatusCode::OK, "{}", cancelled.text());
    assert_eq!(all.await.unwrap().json()["ended"], 1000);
    let more: Vec<Uuid> = (0..1001).map(|_| Uuid::new_v4()).collect();
    for (body, pointer) in [
        (json!({}), "/ids"),
        (json!({"ids": []}), "/ids"),
        (json!({"ids": [ids[0], ids[0]]}), "/ids"),
        (json!({ "ids": more }), "/ids"),
        (json!({"ids": ["x"]}), "/ids"),
        (json!({"ids": [ids[0]], "until": "some"}), "/until"),
    ] {
        let refused = post(&api, WAIT, body).await.assert_problem(422, "invalid_request");
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    post(&api, &format!("{WAIT}?wait=x"), json!({ "ids": ids })).await.assert_problem(422, "invalid_request");
    ask(&api, Method::POST, WAIT, None).await.assert_problem(400, "empty_body");
    api.stop().await;
}

/// A user is told nothing of another's tasks, nor by a key for other queues.
#[tokio::test]
async fn it_is_told_to_whom_it_concerns() {
    let api = Api::start().await;
    let key = async |with: Option<&str>, body: Value| {
        let mut request = api.client.post(format!("{}/v1/api-keys", api.url)).json(&body);
        if let Some(with) = with {
            request = request.bearer_auth(with);
        }
        Answer::of(request.send().await.unwrap()).await.json()["key"].as_str().unwrap().to_owned()
    };
    let id = submit(&api).await;
    let operator = key(None, json!({"name": "operator", "scopes": ["admin", "read"]})).await;
    let user = api.client.post(format!("{}/v1/users", api.url)).bearer_auth(&operator).json(&json!({"name": "bob"}));
    let user = Answer::of(user.send().await.unwrap()).await.json()["id"].clone();
    let bobs = key(Some(&operator), json!({"name": "bob", "scopes": ["read"], "user_id": user})).await;
    let mail = key(Some(&operator), json!({"name": "mail", "scopes": ["read"], "queues": ["mail.*"]})).await;
    let submits = key(Some(&operator), json!({"name": "submits", "scopes": ["submit"]})).await;
    let wait = async |key: &str| {
        let request = api.client.post(format!("{}{WAIT}?wait=5", api.url)).bearer_auth(key).json(&json!({"ids": [id]}));
        Answer::of(request.send().await.unwrap()).await
    };
    let began = Instant::now();
    assert_eq!(wait(&bobs).await.json()["tasks"][0]["problem"]["code"], "task_not_found");
    assert_eq!(wait(&mail).await.json()["tasks"][0]["problem"]["code"], "queue_forbidden");
    assert!(began.elapsed() < Duration::from_secs(4), "there is nothing to wait for: {:?}", began.elapsed());
    wait(&submits).await.assert_problem(403, "missing_scope");
    assert_eq!(wait(&operator).await.json()["tasks"][0]["state"], "queued");
    api.stop().await;
}
