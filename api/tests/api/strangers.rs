//! Strangers at the door: web pages that make a browser ask an open installation, and connections without a key that are meant to
//! be held for ever.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    abuse::rss_kib,
    access::{ask, make_key},
    answer::Answer,
    raw,
    server::{Api, Setup},
};

/// When a connection must be gone that sends no second head: 8 s, and the rest for a busy machine.
const HELD_MAX: Duration = Duration::from_secs(20);
/// When one must be gone that reads no answer: 20 s without progress.
const UNREAD_MAX: Duration = Duration::from_secs(40);

async fn asked(api: &Api, method: Method, path: &str, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let mut request = api.client.request(method, format!("{}{path}", api.url)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_foreign_page_cannot_drive_an_open_installation() {
    let api = Api::start().await;
    let key = r#"{"name": "x", "scopes": ["admin"]}"#;
    let json = ("content-type", "application/json");
    for (headers, code) in [
        (vec![json, ("origin", "https://evil.example")], "foreign_origin"),
        (vec![json, ("origin", "null")], "foreign_origin"),
        (vec![json, ("sec-fetch-site", "cross-site")], "foreign_origin"),
        (vec![json, ("host", "evil.example")], "foreign_host"),
    ] {
        let status = if code == "foreign_host" { 421 } else { 403 };
        asked(&api, Method::POST, "/v1/api-keys", &headers, key).await.assert_problem(status, code);
        // the kind: every route that needs a caller
        asked(&api, Method::GET, "/v1/tasks", &headers, "").await.assert_problem(status, code);
        asked(&api, Method::POST, "/update-data/k?new_value=v", &headers, "").await.assert_problem(status, code);
    }
    asked(&api, Method::GET, "/metrics", &[("host", "evil.example")], "").await.assert_problem(421, "foreign_host");
    // an untyped Blob, which needs no leave of the service
    asked(&api, Method::POST, "/v1/tasks", &[], r#"{"name": "add", "args": [1, 2]}"#)
        .await
        .assert_problem(415, "unsupported_media_type");
    let own = format!("http://127.0.0.1:{}", api.port);
    for headers in [
        vec![json],
        vec![json, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        vec![json, ("host", "localhost:8080")],
    ] {
        let answer = asked(&api, Method::POST, "/v1/tasks", &headers, r#"{"name": "add", "args": [1, 2]}"#).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{headers:?}: {answer:?}");
    }
    assert_eq!(api.sql("SELECT FROM api_key", &[]).await.len(), 0);
    api.stop().await;
}

#[tokio::test]
async fn names_and_pages_of_our_own_are_told() {
    let mut setup = Setup::new().await;
    setup.bind = "0.0.0.0:0".into();
    setup.flags = ["--insecure-open", "--public-url", "https://tasks.example", "--allowed-hosts", "api,queue"]
        .map(Into::into)
        .to_vec();
    let api = setup.start().await;
    for host in ["tasks.example", "api:8080", "queue", "10.0.0.7"] {
        assert_eq!(asked(&api, Method::GET, "/v1/tasks", &[("host", host)], "").await.status, 200, "{host}");
    }
    let page = [("host", "tasks.example"), ("origin", "https://tasks.example"), ("sec-fetch-site", "same-origin")];
    assert_eq!(asked(&api, Method::GET, "/v1/tasks", &page, "").await.status, 200);
    asked(&api, Method::GET, "/v1/tasks", &[("host", "other")], "").await.assert_problem(421, "foreign_host");
    api.stop().await;
}

#[tokio::test]
async fn the_first_key_can_make_others() {
    let api = Api::start().await;
    let (later, wanted) = ("2999-01-01T00:00:00Z", ["read"]);
    for refused in
        [json!({"name": "x", "scopes": wanted}), json!({"name": "x", "scopes": ["admin"], "expires_at": later})]
    {
        ask(&api, &Method::POST, "/v1/api-keys", None, Some(refused)).await.assert_problem(422, "invalid_request");
    }
    let (key, _) = make_key(&api, None, json!({"name": "first", "scopes": ["admin"]})).await;
    make_key(&api, Some(&key), json!({"name": "second", "scopes": wanted})).await;
    // with keys, the page does not have one, and hosts do not matter
    let bearer = format!("Bearer {key}");
    let headers = [("host", "anything.example"), ("authorization", bearer.as_str())];
    assert_eq!(asked(&api, Method::GET, "/v1/tasks", &headers, "").await.status, 200);
    api.stop().await;
}

/// Waits for the server to close; how long that took.
fn closed_after(mut stream: TcpStream, patience: Duration) -> Option<Duration> {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut piece = [0; 4096];
    while began.elapsed() < patience {
        match stream.read(&mut piece) {
            Ok(0) => return Some(began.elapsed()),
            Ok(_) => (),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
            Err(_) => return Some(began.elapsed()),
        }
    }
    None
}

#[tokio::test]
async fn a_second_head_has_as_little_time_as_the_first() {
    let api = Api::start().await;
    let port = api.port;
    let held = tokio::task::spawn_blocking(move || {
        let mut streams = Vec::new();
        for beginning in ["G", "GET /livez HTTP/1.1\r\nhost: localhost\r\nx:"] {
            let mut stream = raw::connect(port);
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            assert!(raw::read_answer(&mut stream).contains(" 200 "));
            stream.write_all(beginning.as_bytes()).unwrap();
            streams.push(std::thread::spawn(move || closed_after(stream, HELD_MAX)));
        }
        streams.into_iter().map(|stream| stream.join().unwrap()).collect::<Vec<_>>()
    });
    let held = held.await.unwrap();
    assert!(held.iter().all(Option::is_some), "still open after {HELD_MAX:?}: {held:?}");
    api.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_given_up_and_cost_little() {
    const CONNECTIONS: usize = 100;
    let api = Api::start().await;
    assert_eq!(api.get("/openapi.json").await.status, 200); // it is made when it is first asked for
    let (port, before) = (api.port, rss_kib(&api));
    let streams = tokio::task::spawn_blocking(move || {
        let requests = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50);
        let connect = || {
            let mut stream = raw::connect(port);
            stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let _ = stream.write_all(requests.as_bytes()); // it takes what it wants
            stream
        };
        (0..CONNECTIONS).map(|_| connect()).collect::<Vec<_>>()
    });
    let streams = streams.await.unwrap();
    assert_eq!(api.get("/livez").await.status, 200);
    let grown = rss_kib(&api).saturating_sub(before);
    println!("{CONNECTIONS} connections that read nothing: {} KiB each", grown / 100);
    assert!(grown < 64 << 10, "{grown} KiB");
    // a client that reads nothing learns of the end when it writes
    #[expect(clippy::disallowed_methods, reason = "a pace, on a thread of its own")]
    let ended = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let mut streams = streams;
        while !streams.is_empty() && began.elapsed() < UNREAD_MAX {
            streams.retain_mut(|stream| stream.write_all(b"\r\n").is_ok());
            std::thread::sleep(Duration::from_millis(200));
        }
        streams.len()
    });
    assert_eq!(ended.await.unwrap(), 0, "still open after {UNREAD_MAX:?}");
    api.stop().await;
}

/// Where connections run out, idle ones make room, and the servers keep theirs.
#[tokio::test]
async fn idle_connections_make_room() {
    const FILES: u32 = 512;
    let mut setup = Setup::new().await;
    setup.files = Some(FILES);
    let api = setup.start().await;
    let port = api.port;
    let idle = tokio::task::spawn_blocking(move || {
        let connect = || {
            let mut stream = raw::connect(port);
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            stream
        };
        (0..FILES).map(|_| connect()).collect::<Vec<_>>()
    });
    let idle = idle.await.unwrap();
    let began = Instant::now();
    assert_eq!(api.get("/readyz").await.status, 200);
    assert_eq!(api.get("/v1/queues").await.status, 200);
    assert!(began.elapsed() < HELD_MAX, "waited for {:?}", began.elapsed());
    drop(idle);
    api.stop().await;
}
