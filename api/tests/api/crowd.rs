//! What one client takes that others need: places, memory, keys, room in answers and in the log.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{
    abuse::rss_kib,
    access::{ask, make_key, make_user},
    answer::Answer,
    eventually::{eventually, eventually_async},
    raw,
    server::{Api, Setup},
};

const GROUP: &str = r#"{"tasks": [{"name": "add", "args": [1, 2]}]}"#;
/// What a request takes that waits for nobody, on a busy machine; a place is waited for 10 s.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Connections that each send this much of a body and no more.
async fn stalled(api: &Api, count: usize, path: &str, announced: usize, sent: usize) -> Vec<TcpStream> {
    let (port, path) = (api.port, path.to_owned());
    let stall = move || {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {announced}\r\n\r\n"
        );
        let connect = || {
            let mut stream = raw::connect(port);
            stream.write_all(head.as_bytes()).unwrap();
            let _ = stream.write_all(&vec![b' '; sent]); // it may be refused meanwhile
            stream
        };
        (0..count).map(|_| connect()).collect()
    };
    spawn_blocking(stall).await.unwrap()
}

#[tokio::test]
async fn stalled_bodies_keep_nobody_from_workflows() {
    let api = Api::start().await;
    for path in ["/v1/workflows", "/v1/groups", "/v1/chains", "/v1/chords", "/v1/map"] {
        let stalled = stalled(&api, 4, path, 1000, 500).await;
        let began = Instant::now();
        let answer = api.post_json("/v1/groups", GROUP).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{path}: {answer:?}");
        assert!(began.elapsed() < AT_ONCE, "{path}: waited for {:?}", began.elapsed());
        drop(stalled);
    }
    api.stop().await;
}

#[tokio::test]
async fn all_bodies_together_are_bounded() {
    const MIB: usize = 1 << 20;
    let mut setup = Setup::new().await;
    setup.flags = vec!["--body-mebibytes".into(), "16".into()]; // 8 for each user, and here is one
    let api = setup.start().await;
    api.announce(&[("add", &["x", "y"])]).await;
    let before = rss_kib(&api);
    let stalled = stalled(&api, 40, "/v1/tasks", MIB, MIB - 10).await;
    // The first bodies take the room and wait for their last bytes; the others are refused at once.
    let told = || stalled.iter().filter(|stream| raw::has_answer(stream)).count();
    eventually("32 refusals", || (told() >= 32).then_some(())).await;
    let grown = rss_kib(&api).saturating_sub(before);
    println!("40 stalled bodies of 1 MiB: {grown} KiB more are resident");
    assert!(grown < 30 << 10, "{grown} KiB");
    let (mut answered, waiting): (Vec<_>, Vec<_>) = stalled.into_iter().partition(raw::has_answer);
    let answers = spawn_blocking(move || answered.iter_mut().map(raw::read_answer).collect::<Vec<_>>()).await.unwrap();
    // On a busy machine the first have waited for ten seconds by now, which is their limit.
    let (late, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.starts_with("HTTP/1.1 408 "));
    assert!(refused.len() >= 24, "{} refused, {} late", refused.len(), late.len());
    for answer in refused {
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("overloaded"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("retry-after: "), "{answer}");
    }
    drop(waiting);
    let accepted = eventually_async("room again", async || {
        let answer = api.post_json("/v1/tasks", r#"{"name": "add", "args": [1, 2]}"#).await;
        (answer.status == 202).then_some(())
    });
    accepted.await;
    api.stop().await;
}

#[tokio::test]
async fn a_refusal_is_not_many_times_as_large_as_its_request() {
    let api = Api::start().await;
    let fields: Vec<_> = (0..60_000).map(|number| format!(r#""field-{number}":1"#)).collect();
    let body = format!("{{{}}}", fields.join(","));
    for path in ["/v1/tasks", "/v1/groups", "/v1/locks/x/leases", "/v1/data/x"] {
        let method = if path.contains("data") { Method::PUT } else { Method::POST };
        let request = api.client.request(method, format!("{}{path}", api.url));
        let request = request.header("content-type", "application/json").body(body.clone());
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 422, "{path}");
        assert!(answer.text().len() < 32 << 10, "{path}: {} bytes", answer.text().len());
        assert!(answer.json()["detail"].as_str().unwrap().ends_with("and more"), "{path}");
    }
    let task = format!("{{{}}}", (0..50).map(|number| format!(r#""f{number}":1"#)).collect::<Vec<_>>().join(","));
    let batch = format!(r#"{{"tasks":[{}]}}"#, vec![task; 1000].join(","));
    let answer = api.post_json("/v1/tasks/batch", batch.clone()).await;
    assert!(answer.text().len() < 4 * batch.len(), "{} bytes of {}", answer.text().len(), batch.len());
    api.stop().await;
}

#[tokio::test]
async fn every_content_encoding_counts() {
    let api = Api::start().await;
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                content-length: 2\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\n\r\n{}";
    let answer = raw::exchange(api.port, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    api.stop().await;
}

#[tokio::test]
async fn one_user_cannot_have_all_the_keys() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "first", "scopes": ["admin"]})).await;
    let greedy = make_user(&api, &operator, "greedy").await;
    let modest = make_user(&api, &operator, "modest").await;
    let fill = "INSERT INTO api_key (owner_id, name, hmac, scopes, queues)
                SELECT $1, 'x', decode(repeat('00', 32), 'hex'), '{read}', '{}' FROM generate_series(1, $2)";
    api.sql(fill, &[&greedy, &200]).await;
    let wanted = |user: i64| Some(json!({"name": "k", "scopes": ["read"], "user_id": user}));
    let made = async |user| ask(&api, &Method::POST, "/v1/api-keys", Some(&operator), wanted(user)).await;
    made(greedy).await.assert_problem(409, "too_many_keys");
    assert_eq!(made(modest).await.status, StatusCode::CREATED);
    // and where many users have all that is for users, the operator still gets one
    api.sql(fill, &[&greedy, &9000]).await;
    made(modest).await.assert_problem(409, "too_many_keys");
    assert_eq!(made(1).await.status, StatusCode::CREATED);
    api.stop().await;
}

#[tokio::test]
async fn bad_heads_do_not_flood_the_log() {
    const BAD: usize = 300;
    let api = Api::start().await;
    let port = api.port;
    let sent = spawn_blocking(move || {
        for _ in 0..BAD {
            let answer = raw::exchange(port, b"\x16\x03\x01 nonsense\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
    });
    sent.await.unwrap();
    let lines = api.log.text().lines().filter(|line| line.contains("\"ERROR\"")).count();
    assert!(lines <= 40, "{lines} lines for {BAD} bad heads");
    let left_out = api.get("/metrics").await.text();
    assert!(left_out.contains("caraway_log_lines_left_out_total"), "they are counted");
    api.stop().await;
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_the_operator() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "first", "scopes": ["admin"]})).await;
    let user = make_user(&api, &operator, "tenant").await;
    let (tenant, _) = make_key(&api, Some(&operator), json!({"name": "t", "scopes": ["read"], "user_id": user})).await;
    let scrape = async |key: Option<&str>, forwarded: bool| {
        let mut request = api.client.get(format!("{}/metrics", api.url));
        if forwarded {
            request = request.header("x-forwarded-for", "203.0.113.7");
        }
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    assert_eq!(scrape(None, false).await.status, 200);
    scrape(None, true).await.assert_problem(401, "unauthorized");
    scrape(Some(&tenant), true).await.assert_problem(403, "missing_scope");
    assert_eq!(scrape(Some(&operator), true).await.status, 200);
    // nobody can make more of them: what no route takes is one series
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        ask(&api, &method, "/v1/tasks/batch", Some(&operator), None).await;
    }
    let text = eventually_async("a fresh text", async || {
        let text = scrape(None, false).await.text();
        text.contains("route=\"unmatched\"").then_some(text)
    });
    let text = text.await;
    assert!(
        !text.contains("status=\"405\",le") || !text.contains("route=\"/v1/tasks/batch\",method=\"PATCH\""),
        "{text}"
    );
    api.stop().await;
}

#[tokio::test]
async fn the_operator_ends_what_others_run() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "first", "scopes": ["admin"]})).await;
    let user = make_user(&api, &operator, "tenant").await;
    let (tenant, _) =
        make_key(&api, Some(&operator), json!({"name": "t", "scopes": ["submit", "read", "cancel"], "user_id": user}))
            .await;
    let task = json!({"name": "add", "args": [1, 2]});
    let made = ask(&api, &Method::POST, "/v1/tasks", Some(&tenant), Some(task.clone())).await.json();
    let path = format!("/v1/tasks/{}/cancel", made["id"].as_str().unwrap());
    let cancelled = ask(&api, &Method::POST, &path, Some(&operator), None).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &json!("cancelled")));
    let made = ask(&api, &Method::POST, "/v1/groups", Some(&tenant), Some(json!({"tasks": [task]}))).await.json();
    let path = format!("/v1/workflows/{}/cancel", made["id"].as_str().unwrap());
    let cancelled = ask(&api, &Method::POST, &path, Some(&operator), None).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &json!("cancelled")));
    let log = ask(&api, &Method::GET, "/v1/audit", Some(&operator), None).await.json();
    let orders: Vec<_> = log["data"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(orders, ["workflow.cancel", "task.cancel"], "{log}");
    // and nobody but the operator
    let task = json!({"name": "add", "args": [1, 2]});
    let made = ask(&api, &Method::POST, "/v1/tasks", Some(&operator), Some(task)).await.json();
    let path = format!("/v1/tasks/{}/cancel", made["id"].as_str().unwrap());
    ask(&api, &Method::POST, &path, Some(&tenant), None).await.assert_problem(404, "task_not_found");
    api.stop().await;
}

#[tokio::test]
async fn a_wait_ends_with_its_key() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "first", "scopes": ["admin"]})).await;
    let (key, id) = make_key(&api, Some(&operator), json!({"name": "w", "scopes": ["submit", "read"]})).await;
    let task = json!({"name": "add", "args": [1, 2]});
    let task = ask(&api, &Method::POST, "/v1/tasks", Some(&key), Some(task)).await.json();
    let path = format!("/v1/tasks/{}?wait=30", task["id"].as_str().unwrap());
    let revoke = async {
        eventually_async("the wait", async || {
            api.get("/metrics").await.text().contains("caraway_waits_open 1").then_some(())
        })
        .await;
        ask(&api, &Method::DELETE, &format!("/v1/api-keys/{id}"), Some(&operator), None).await
    };
    let (answer, revoked) = tokio::join!(ask(&api, &Method::GET, &path, Some(&key), None), revoke);
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    answer.assert_problem(401, "unauthorized");
    api.stop().await;
}

#[tokio::test]
async fn what_a_disabled_user_has_not_finished_can_be_ended() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "first", "scopes": ["admin"]})).await;
    let user = make_user(&api, &operator, "tenant").await;
    let (tenant, _) =
        make_key(&api, Some(&operator), json!({"name": "t", "scopes": ["submit", "read"], "user_id": user})).await;
    let task = json!({"name": "add", "args": [1, 2]});
    ask(&api, &Method::POST, "/v1/tasks", Some(&tenant), Some(task.clone())).await;
    let later = json!({"name": "add", "args": [1, 2], "delay": 3600});
    ask(&api, &Method::POST, "/v1/tasks", Some(&tenant), Some(later)).await;
    ask(&api, &Method::POST, "/v1/groups", Some(&tenant), Some(json!({"tasks": [task.clone(), task.clone()]}))).await;
    ask(&api, &Method::POST, "/v1/tasks", Some(&operator), Some(task)).await;
    let path = format!("/v1/users/{user}/disable?cancel_tasks=true");
    assert_eq!(ask(&api, &Method::POST, &path, Some(&operator), None).await.status, StatusCode::OK);
    let states = "SELECT owner_id, state::text, count(*) FROM task GROUP BY 1, 2 ORDER BY 1";
    let states: Vec<(i64, String, i64)> =
        api.sql(states, &[]).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(states, [(1, "queued".into(), 1), (user, "cancelled".into(), 4)]);
    api.stop().await;
}
