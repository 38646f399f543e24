//! Everything that a client can get wrong: a stable code each, never a 5xx, never a row.

use reqwest::{Method, header};

use crate::{answer::Answer, raw, server::Api};

/// Status, code, body of `POST /v1/tasks`.
const BODIES: &[(u16, &str, &[u8])] = &[
    (400, "empty_body", b""),
    (400, "malformed_json", b"{"),
    (400, "malformed_json", b"{} {}"),
    (400, "malformed_json", b"\xef\xbb\xbf{\"name\": \"add\"}"),
    (400, "malformed_json", b"{\"name\": \"add\", \"args\": [\"\xff\"]}"),
    (400, "malformed_json", br#"{"name": "add", "args": ["\ud800"]}"#),
    (400, "malformed_json", br#"{"name": "add", "queue": "tests", "queue": "admin"}"#),
    (400, "malformed_json", br#"{"name": "add", "args": [1e400]}"#),
    (400, "malformed_json", br#"{"name": "add", "args": [NaN]}"#),
    (422, "nul_character", br#"{"name": "add", "args": ["a\u0000b"]}"#),
    (422, "nul_character", br#"{"name": "add", "kwargs": {"\u0000": 1}}"#),
    (422, "nul_character", br#"{"name": "add\u0000"}"#),
    (422, "invalid_request", b"[]"),
    (422, "invalid_request", b"\"add\""),
    (422, "invalid_request", b"{}"),
    (422, "invalid_request", br#"{"name": null}"#),
    (422, "invalid_request", br#"{"name": 1}"#),
    (422, "invalid_request", br#"{"name": "../etc/passwd"}"#),
    (422, "invalid_request", br#"{"name": "add", "args": "12"}"#),
    (422, "invalid_request", br#"{"name": "add", "kwargs": [1]}"#),
    (422, "invalid_request", br#"{"name": "add", "priority": 10}"#),
    (422, "invalid_request", br#"{"name": "add", "priority": "high"}"#),
    (422, "invalid_request", br#"{"name": "add", "timeout": 0}"#),
    (422, "invalid_request", br#"{"name": "add", "delay": -1}"#),
    (422, "invalid_request", br#"{"name": "add", "delay": 1e18}"#),
    (422, "invalid_request", br#"{"name": "add", "queue": "a'; DROP TABLE task --"}"#),
    (422, "invalid_request", br#"{"name": "add", "retry": {"max_attempts": 2147483648}}"#),
    (422, "invalid_request", br#"{"name": "add", "retry": {"backoff": {"initial": -1}}}"#),
    (422, "unknown_field", br#"{"name": "add", "id": "x"}"#),
    (422, "unknown_field", br#"{"name": "add", "owner_id": 2, "state": "succeeded"}"#),
    (422, "unknown_field", br#"{"name": "add", "retry": {"attempts": 2}}"#),
    (422, "unknown_task", br#"{"name": "ad"}"#),
    (422, "unknown_queue", br#"{"name": "add", "args": [1, 2], "queue": "test"}"#),
    (422, "invalid_arguments", br#"{"name": "add", "args": [1, 2, 3]}"#),
    (422, "invalid_arguments", br#"{"name": "add", "args": [1], "kwargs": {"x": 2}}"#),
    (422, "invalid_arguments", br#"{"name": "add", "kwargs": {"z": 2}}"#),
];

#[tokio::test]
async fn every_bad_body_has_its_code_and_leaves_no_row() {
    let api = Api::start().await;
    for (status, code, body) in BODIES {
        eprintln!("{}", String::from_utf8_lossy(body));
        api.post_json("/v1/tasks", *body).await.assert_problem(*status, code);
    }
    let task = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"name": "add", "kwargs": {{"x": 1, "y": {open}{close}}}}}"#)
    };
    for depth in [33, 39, 129, 100_000] {
        api.post_json("/v1/tasks", task(depth)).await.assert_problem(422, "nested_too_deep");
    }
    // it is the arguments that may nest so deep, wherever they stand
    for (path, around) in [
        ("/v1/groups", r#"{"tasks": [TASK]}"#),
        ("/v1/chains", r#"{"steps": [{"task": TASK}]}"#),
        ("/v1/workflows", r#"{"nodes": [{"key": "a", "task": TASK}]}"#),
        ("/v1/tasks/batch", r#"{"atomic": true, "tasks": [TASK]}"#),
    ] {
        api.post_json(path, around.replace("TASK", &task(33))).await.assert_problem(422, "nested_too_deep");
        let faulty = format!("{{{}, \"x\": 1}}", &around[1..around.len() - 1]);
        let faulty = api.post_json(path, faulty.replace("TASK", &task(32))).await;
        faulty.assert_problem(422, "unknown_field");
    }
    assert_eq!(api.sql("SELECT FROM task", &[]).await.len(), 0);
    api.stop().await;
}

#[tokio::test]
async fn faults_are_pointed_at_and_slips_are_recognised() {
    let api = Api::start().await;
    let answer = api.post_json("/v1/tasks", r#"{"name": "add", "priority": 99, "retry": {"a/b": 1}}"#).await;
    let problem = answer.assert_problem(422, "invalid_request");
    let errors: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
        .collect();
    assert_eq!(errors, [("/priority", "invalid_request"), ("/retry/a~1b", "unknown_field")]);
    let problem = api.post_json("/v1/tasks", r#"{"name": "proces_image"}"#).await.assert_problem(422, "unknown_task");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean process_image?"), "{problem}");
    api.stop().await;
}

#[tokio::test]
async fn wrong_media_types_and_encodings() {
    let api = Api::start().await;
    let body = r#"{"name": "add", "args": [1, 2]}"#;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "json"] {
        api.post("/v1/tasks", body, media_type).await.assert_problem(415, "unsupported_media_type");
    }
    let zipped = api.client.post(format!("{}/v1/tasks", api.url)).header(header::CONTENT_ENCODING, "gzip").body("x");
    Answer::of(zipped.send().await.unwrap()).await.assert_problem(415, "unsupported_media_type");
    api.stop().await;
}

#[tokio::test]
async fn addresses_that_name_nothing() {
    let api = Api::start().await;
    let unknown = "018f4b2e-7b1c-7000-8000-000000000001";
    for id in [unknown, "1", "%00", "%ff", "%2e%2e%2f", "a%20b", "{018f4b2e-7b1c-7000-8000-000000000001}", "x'--"] {
        for tail in ["", "/result", "/attempts"] {
            api.get(&format!("/v1/tasks/{id}{tail}")).await.assert_problem(404, "task_not_found");
        }
        api.post(&format!("/v1/tasks/{id}/cancel"), "", "").await.assert_problem(404, "task_not_found");
        api.get(&format!("/items/{id}")).await.assert_problem(404, "item_not_found");
        api.get(&format!("/items/{id}/content")).await.assert_problem(404, "item_not_found");
        api.post(&format!("/process-image/{id}"), "", "").await.assert_problem(404, "item_not_found");
    }
    for path in ["/v1", "/v1/", "/v2/tasks", "//v1/tasks", "/V1/tasks", "/v2/tasks/", "/%zz", "/v1/%00", "/favicon.ico"]
    {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/problem+json", "{path}");
    }
    for path in ["/v1/tasks/../tasks", "/v1/tasks/%2e%2e", "/v1/tasks/..", "/%", "/v1/tasks/%c0%ae"] {
        let answer = raw::exchange(
            api.port,
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("_found\""), "{path}: {answer}");
    }
    api.stop().await;
}

#[tokio::test]
async fn methods_that_an_address_does_not_take() {
    let api = Api::start().await;
    let cases = [
        (Method::PUT, "/v1/tasks", "POST, GET, HEAD"),
        (Method::PUT, "/v1/tasks/018f4b2e-7b1c-7000-8000-000000000001", "GET, PATCH, DELETE, HEAD"),
        (Method::PUT, "/items", "POST, GET, HEAD"),
        (Method::TRACE, "/livez", "GET, HEAD"),
        (Method::from_bytes(b"BREW").unwrap(), "/readyz", "GET, HEAD"),
    ];
    for (method, path, allow) in cases {
        let request = api.client.request(method, format!("{}{path}", api.url)).header("x-http-method-override", "POST");
        let answer = Answer::of(request.send().await.unwrap()).await;
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header(header::ALLOW), allow, "{path}");
    }
    api.stop().await;
}

#[tokio::test]
async fn every_answer_is_named_and_safe_to_render() {
    let api = Api::start().await;
    let named = |name: &'static str| api.client.get(format!("{}/nowhere", api.url)).header("x-request-id", name).send();
    let answer = Answer::of(named("job-17.b").await.unwrap()).await;
    assert_eq!(answer.header("x-request-id"), "job-17.b");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let answer = Answer::of(named("a b <script>").await.unwrap()).await;
    assert_eq!(
        answer.assert_problem(404, "not_found")["instance"].as_str().unwrap().len(),
        36,
        "a name of ours instead"
    );
    api.stop().await;
}
