//! `GET /v1/tasks/{id}/result` and `/attempts`, in every state a task can be in.

use uuid::Uuid;

use crate::server::Api;

async fn task(api: &Api, change: &str) -> Uuid {
    let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    api.sql(&format!("UPDATE task_run SET {change} WHERE id = $1"), &[&id]).await;
    id
}

#[tokio::test]
async fn a_result_is_what_the_handler_wrote() {
    let api = Api::start().await;
    for result in [r#"{"b":1.50,"a":[ ]}"#, "null", "18446744073709551615"] {
        let id = task(
            &api,
            &format!("state = 'succeeded', epoch = 1, attempt = 1, finished_at = now(), result = '{result}'"),
        )
        .await;
        for _ in 0..2 {
            let answer = api.get(&format!("/v1/tasks/{id}/result")).await; // from the row, then from the cache
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, result));
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn without_a_result_the_answer_says_whether_to_wait() {
    let api = Api::start().await;
    let error = r#"error = '{"code":"boom","message":"it broke"}'"#;
    let cases = [
        ("state = 'queued'".to_owned(), "task_not_finished", true),
        ("state = 'running', epoch = 1".to_owned(), "task_not_finished", true),
        (format!("state = 'failed', epoch = 1, finished_at = now(), {error}"), "task_failed", false),
        ("state = 'expired', finished_at = now()".to_owned(), "task_expired", false),
    ];
    for (change, code, retryable) in cases {
        let id = task(&api, &change).await;
        let problem = api.get(&format!("/v1/tasks/{id}/result")).await.assert_problem(409, code);
        assert_eq!(problem["retryable"], retryable);
        assert!(change.contains(problem["state"].as_str().unwrap()));
        assert_eq!(problem["error"]["code"] == "boom", code == "task_failed");
    }
    api.stop().await;
}

#[tokio::test]
async fn attempts_tell_every_run() {
    let api = Api::start().await;
    let id = task(&api, "state = 'succeeded', epoch = 2, attempt = 2, worker = 'b:2', started_at = now(), finished_at = now(), result = '3'").await;
    api.sql(
        "INSERT INTO attempt (task_id, epoch, attempt, outcome, error, worker) VALUES ($1, 1, 1, 'lost', '{\"code\":\"worker_lost\"}', 'a:1')",
        &[&id],
    )
    .await;
    let attempts = api.get(&format!("/v1/tasks/{id}/attempts")).await.json();
    let told: Vec<_> = attempts["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["attempt"].as_i64().unwrap(), one["outcome"].as_str().unwrap(), one["worker"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, [(1, "lost", "a:1"), (2, "succeeded", "b:2")]);
    let queued = task(&api, "state = 'queued'").await;
    assert_eq!(api.get(&format!("/v1/tasks/{queued}/attempts")).await.text(), r#"{"data":[]}"#);
    api.stop().await;
}

/// A task may snooze for ever; what is told of it has an end.
#[tokio::test]
async fn of_many_attempts_the_last_thousand_are_told() {
    let api = Api::start().await;
    let id = task(&api, "state = 'running', epoch = 1501, attempt = 1, started_at = now()").await;
    api.sql(
        "INSERT INTO attempt (task_id, epoch, attempt, outcome) SELECT $1, n, 1, 'snoozed' FROM generate_series(1, 1500) n",
        &[&id],
    )
    .await;
    let attempts = api.get(&format!("/v1/tasks/{id}/attempts")).await.json()["data"].as_array().unwrap().clone();
    let epochs: Vec<i64> = attempts.iter().map(|one| one["epoch"].as_i64().unwrap()).collect();
    assert_eq!(epochs, (502..=1501).collect::<Vec<i64>>(), "the last ones, the first of them first");
    api.stop().await;
}
