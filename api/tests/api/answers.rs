//! What an answer tells, to the letter: where the mistake stands, what would have been right, and what was never kept.

use serde_json::{Value, json};

use crate::server::Api;

#[tokio::test]
async fn pointers_lead_into_the_body_that_was_sent() {
    let api = Api::start().await;
    let cases: &[(&str, Value, &str, &str)] = &[
        ("/v1/tasks", json!({"name": "add", "args": [1, 2, 3]}), "invalid_arguments", "/args"),
        ("/v1/tasks", json!({"name": "ad"}), "unknown_task", "/name"),
        ("/v1/tasks", json!({"name": "add", "queue": "no"}), "unknown_queue", "/queue"),
        (
            "/v1/tasks",
            json!({"name": "add", "parent_id": "018f4b2e-7b1c-7000-8000-000000000001"}),
            "task_not_found",
            "/parent_id",
        ),
        ("/v1/groups", json!({"tasks": [{"name": "add", "args": [1, 2, 3]}]}), "invalid_arguments", "/tasks/0/args"),
        (
            "/v1/groups",
            json!({"tasks": [{"name": "add"}, {"name": "add", "kwargs": {"z": 1}}]}),
            "invalid_arguments",
            "/tasks/1/kwargs/z",
        ),
        ("/v1/groups", json!({"tasks": [{"name": "add", "prio": 1}]}), "unknown_field", "/tasks/0/prio"),
        ("/v1/groups", json!({"tasks": [{"name": "ad"}]}), "unknown_task", "/tasks/0/name"),
        (
            "/v1/groups",
            json!({"tasks": [{"name": "add", "unique": {"by": ["args.q"]}}]}),
            "invalid_request",
            "/tasks/0/unique/by",
        ),
        (
            "/v1/chains",
            json!({"steps": [{"task": {"name": "add"}}, {"task": {"name": "add", "kwargs": {"z": 1}}}]}),
            "invalid_arguments",
            "/steps/1/task/kwargs/z",
        ),
        (
            "/v1/chains",
            json!({"steps": [{"task": {"name": "add"}}, {"task": {"name": "add", "args": [{"$ref": "x"}]}}]}),
            "invalid_request",
            "/steps/1/task/args/0",
        ),
        (
            "/v1/chords",
            json!({"tasks": [], "body": {"name": "add", "args": [{"$ref": "x"}]}}),
            "invalid_request",
            "/body/args/0",
        ),
        ("/v1/map", json!({"task": {"name": "add"}, "items": [1, {"$ref": "#/x"}]}), "invalid_request", "/items/1"),
        (
            "/v1/map",
            json!({"task": {"name": "add"}, "items": [1, 2, [{"$ref": "#/x"}]], "chunk": 2}),
            "invalid_request",
            "/items/2/0",
        ),
        (
            "/v1/map",
            json!({"task": {"name": "add", "args": [{"$ref": "#/x"}]}, "items": [1]}),
            "invalid_request",
            "/task/args/0",
        ),
        ("/v1/map", json!({"task": {"name": "add", "args": [1, 2]}, "items": [1]}), "invalid_arguments", "/task/args"),
        (
            "/v1/workflows",
            json!({"nodes": [{"key": "a", "task": {"name": "add", "kwargs": {"x": {"$ref": "a"}}}}]}),
            "invalid_request",
            "/nodes/0/task/kwargs/x",
        ),
        (
            "/v1/tasks/batch",
            json!({"atomic": true, "tasks": [{"name": "add"}, {"name": "add", "args": [1, 2, 3]}]}),
            "invalid_arguments",
            "/tasks/1/args",
        ),
    ];
    for (path, body, code, pointer) in cases {
        let answer = api.post_json(path, body.to_string()).await;
        let problem = answer.assert_problem(answer.status.as_u16(), code);
        assert_eq!(problem["errors"][0]["pointer"], *pointer, "{path} {body}: {problem}");
        assert_eq!(problem.get("pointer"), None, "one form only: {problem}");
        if pointer.starts_with('/') && *code != "unknown_field" {
            assert!(body.pointer(pointer).is_some(), "{pointer} is not in {body}");
        }
    }
    let batch = json!({"tasks": [{"name": "add"}, {"name": "add", "args": [1, 2, 3]}]}).to_string();
    let entry = api.post_json("/v1/tasks/batch", batch).await.json()["tasks"][1].clone();
    assert_eq!(entry["problem"]["errors"][0]["pointer"], "/tasks/1/args", "{entry}");
    api.stop().await;
}

#[tokio::test]
async fn data_that_looks_like_a_reference_can_be_written() {
    let api = Api::start().await;
    let literal = json!({"$literal": {"$ref": "#/definitions/pet"}});
    let task = json!({"name": "add", "args": [1, literal]});
    for (path, body) in [
        ("/v1/groups", json!({"tasks": [task]})),
        ("/v1/chains", json!({"steps": [{"task": task}]})),
        ("/v1/chords", json!({"tasks": [task], "body": {"name": "add", "kwargs": {"y": literal}}})),
        ("/v1/map", json!({"task": {"name": "add"}, "items": [literal]})),
        ("/v1/workflows", json!({"nodes": [{"key": "a", "task": task}]})),
    ] {
        let answer = api.post_json(path, body.to_string()).await;
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
    }
    let bare = json!({"tasks": [{"name": "add", "args": [{"$ref": "#/x"}]}]});
    let problem = api.post_json("/v1/groups", bare.to_string()).await.assert_problem(422, "invalid_request");
    assert!(problem["detail"].as_str().unwrap().contains(r#"{"$literal": …}"#), "{problem}");
    api.stop().await;
}

#[tokio::test]
async fn a_result_that_was_never_kept_is_no_null() {
    let api = Api::start().await;
    let finish = "UPDATE task_run SET state = 'succeeded', epoch = 1, attempt = 1, finished_at = now(), result = $2 WHERE id = $1";
    let none = api.submit(r#"{"name": "add", "args": [1, 2], "store_result": false}"#).await;
    api.sql(finish, &[&none, &None::<Vec<u8>>]).await;
    api.get(&format!("/v1/tasks/{none}/result")).await.assert_problem(409, "result_not_kept");
    let null = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    api.sql(finish, &[&null, &Some(b"null".to_vec())]).await;
    let told = api.get(&format!("/v1/tasks/{null}/result")).await;
    assert_eq!((told.status.as_u16(), told.text().as_str()), (200, "null"));
    api.stop().await;
}

#[tokio::test]
async fn a_refusal_says_what_would_have_been_right() {
    let api = Api::start().await;
    let problem = api.get("/v1/tasks?state=SUCCEEDED").await.assert_problem(422, "invalid_request");
    assert!(
        problem["detail"].as_str().unwrap().contains("scheduled, waiting, queued, running, succeeded"),
        "{problem}"
    );
    for word in ["NaN", "Infinity", "-Infinity"] {
        let body = format!(r#"{{"name": "add", "args": [1, {word}]}}"#);
        let problem = api.post_json("/v1/tasks", body).await.assert_problem(400, "malformed_json");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("JSON has no number {word}")), "{problem}");
    }
    let form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nx\r\n--b\r\n\
                Content-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--b--\r\n";
    let problem = api.post("/items", form, "multipart/form-data; boundary=b").await.assert_problem(400, "unfit_form");
    assert!(problem["detail"].as_str().unwrap().contains("send the file alone"), "{problem}");
    api.stop().await;
}

#[tokio::test]
async fn a_plain_body_may_say_that_it_is_plain() {
    let api = Api::start().await;
    let send = async |codings: &[&str]| {
        let mut request = api.client.post(format!("{}/v1/tasks", api.url)).body(r#"{"name": "add", "args": [1, 2]}"#);
        request = request.header("content-type", "application/json");
        for coding in codings {
            request = request.header("content-encoding", *coding);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for plain in [["identity"].as_slice(), &["Identity"], &[""], &["identity, identity"]] {
        assert_eq!(send(plain).await, 202, "{plain:?}");
    }
    for packed in [["gzip"].as_slice(), &["identity", "gzip"], &["identity, gzip"], &["br"]] {
        assert_eq!(send(packed).await, 415, "{packed:?}");
    }
    api.stop().await;
}
