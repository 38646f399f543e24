//! `POST /v1/tasks/{id}/cancel`.

use uuid::Uuid;

use crate::server::Api;

async fn put(api: &Api, id: Uuid, change: &str) {
    api.sql(&format!("UPDATE task_run SET {change} WHERE id = $1"), &[&id]).await;
}

#[tokio::test]
async fn before_the_start_it_is_done_at_once_and_stays_done() {
    let api = Api::start().await;
    for body in [r#"{"name": "add", "args": [1, 2]}"#, r#"{"name": "add", "args": [1, 2], "delay": 60}"#] {
        let id = api.submit(body).await;
        for _ in 0..2 {
            let answer = api.post(&format!("/v1/tasks/{id}/cancel"), "", "").await;
            assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &"cancelled".into()));
        }
        api.get(&format!("/v1/tasks/{id}/result")).await.assert_problem(409, "task_cancelled");
    }
    api.stop().await;
}

#[tokio::test]
async fn while_it_runs_it_is_a_request() {
    let api = Api::start().await;
    let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    put(&api, id, "state = 'running', epoch = 1, attempt = 1, started_at = now()").await;
    for _ in 0..2 {
        let answer = api.post(&format!("/v1/tasks/{id}/cancel"), "", "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (202, &"running".into()));
        assert!(answer.json()["cancel_requested_at"].is_string());
    }
    api.stop().await;
}

#[tokio::test]
async fn what_has_ended_otherwise_stays_as_it_is() {
    let api = Api::start().await;
    for state in ["succeeded", "failed", "expired"] {
        let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
        put(&api, id, &format!("state = '{state}', finished_at = now()")).await;
        let problem = api.post(&format!("/v1/tasks/{id}/cancel"), "", "").await;
        assert_eq!(problem.assert_problem(409, "task_already_finished")["state"], state);
        assert_eq!(api.get(&format!("/v1/tasks/{id}")).await.json()["state"], state);
    }
    api.stop().await;
}
