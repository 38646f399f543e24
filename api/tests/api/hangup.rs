//! Clients that hang up while they wait: with a FIN alone, as a killed program, Ctrl-C and a client's own time-out do.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::{
    coordination::{ask, fence, post},
    eventually::eventually_async,
    raw,
    server::Api,
};

/// More than the server reads ahead of a handler that does not want it.
const MORE_THAN_IS_BUFFERED: usize = 1 << 20;

/// What a client sends behind the head of a request that waits.
struct Shape {
    name: &'static str,
    headers: String,
    body: Vec<u8>,
}

fn shape(name: &'static str, headers: impl Into<String>, body: impl Into<Vec<u8>>) -> Shape {
    Shape { name, headers: headers.into(), body: body.into() }
}

/// The ways in which a request may end: also with a body that nobody reads, half a body, and other requests behind it.
fn shapes(method: &str, json: &str) -> Vec<Shape> {
    let next = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    if method == "GET" {
        let large = format!("content-length: {MORE_THAN_IS_BUFFERED}\r\n");
        return vec![
            shape("plain", "", ""),
            shape("pipelined", "", next.repeat(3)),
            shape("a body that nobody reads", "content-length: 5\r\n", "12345"),
            shape("a large one", large.clone(), vec![b' '; MORE_THAN_IS_BUFFERED]),
            shape("half of it", large, vec![b' '; MORE_THAN_IS_BUFFERED / 2]),
            shape("a chunked one without an end", "transfer-encoding: chunked\r\n", "5\r\n12345\r\n"),
        ];
    }
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", json.len());
    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    vec![
        shape("plain", length.clone(), json),
        shape("pipelined", length.clone(), format!("{json}{}", next.repeat(3))),
        shape("chunked", chunked, format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len())),
        shape("after a 100", format!("{length}expect: 100-continue\r\n"), json),
    ]
}

fn send(api: &Api, method: &str, path: &str, shape: &Shape) -> TcpStream {
    let mut stream = raw::connect(api.port);
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{}\r\n", shape.headers).as_bytes()).unwrap();
    stream.write_all(&shape.body).unwrap();
    stream
}

/// How many requests wait in this process, for leases and for tasks.
async fn waits(api: &Api) -> f64 {
    let metrics = api.get("/metrics").await.text();
    let open = ["caraway_lease_waits_open", "caraway_waits_open"].map(|name| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().parse::<f64>().unwrap()
    });
    open.iter().sum()
}

async fn waits_are(api: &Api, count: f64, what: &str) {
    eventually_async(&format!("{what}: {count} waits"), async || (waits(api).await == count).then_some(())).await;
}

/// Every address that waits, made so that it waits for ever.
async fn waiting_addresses(api: &Api) -> Vec<(&'static str, String, String)> {
    let (held, parked, task) = (Uuid::new_v4(), Uuid::new_v4(), api.submit(r#"{"name": "add", "args": [1, 2]}"#).await);
    fence(&post(api, "/v1/locks/held/leases", json!({"lease_id": held, "ttl": 600})).await);
    fence(&post(api, "/v1/locks/parked/leases", json!({"lease_id": parked, "ttl": 600})).await);
    for (path, settings) in [
        ("/v1/semaphores/held", json!({"permits": 1})),
        ("/v1/barriers/missing", json!({"parties": 1000})),
        ("/v1/work-queues/empty", json!({})),
        ("/v1/work-queues/full", json!({"maxsize": 1})),
    ] {
        assert_eq!(ask(api, Method::PUT, path, Some(settings)).await.status, StatusCode::OK);
    }
    fence(&post(api, "/v1/semaphores/held/leases", json!({"ttl": 600})).await);
    assert_eq!(post(api, "/v1/work-queues/full/items", json!({"payload": 1})).await.status, StatusCode::CREATED);
    let group = post(api, "/v1/groups", json!({"tasks": [{"name": "add", "args": [1, 2]}]})).await.json();
    let workflow = group["id"].as_str().unwrap().to_owned();
    let parked = json!({"lock": "parked", "lease_id": parked, "wait_id": Uuid::new_v4()}).to_string();
    vec![
        ("POST", "/v1/locks/held/leases?wait=60".into(), "{}".into()),
        ("POST", "/v1/semaphores/held/leases?wait=60".into(), "{}".into()),
        ("POST", "/v1/conditions/c/waits?wait=60".into(), parked),
        ("POST", "/v1/barriers/missing/arrivals?wait=60".into(), json!({"arrival_id": Uuid::new_v4()}).to_string()),
        ("GET", "/v1/barriers/missing?wait=60".into(), String::new()),
        ("GET", "/v1/events/clear?wait=60".into(), String::new()),
        ("POST", "/v1/work-queues/empty/leases?wait=60".into(), "{}".into()),
        ("POST", "/v1/work-queues/full/items?wait=60".into(), r#"{"payload": 2}"#.into()),
        ("GET", "/v1/work-queues/full/join?wait=60".into(), String::new()),
        ("GET", format!("/v1/tasks/{task}?wait=60"), String::new()),
        ("GET", format!("/v1/workflows/{workflow}?wait=60"), String::new()),
    ]
}

/// However its request ends, and whatever lies behind it.
#[tokio::test]
async fn a_wait_ends_with_its_connection() {
    let api = Api::start().await;
    for (method, path, json) in waiting_addresses(&api).await {
        for shape in shapes(method, &json) {
            let what = format!("{method} {path}, {}", shape.name);
            let stream = send(&api, method, &path, &shape);
            waits_are(&api, 1.0, &what).await;
            stream.shutdown(Shutdown::Write).unwrap(); // a FIN and nothing else: a close might send a reset
            waits_are(&api, 0.0, &what).await;
        }
    }
    api.stop().await;
}
