//! `POST /process-image/{image_id}`: the cheatsheet's own words, and everything that can be wrong with them.

use serde_json::json;
use uuid::Uuid;

use crate::server::{Api, QUEUE, Setup};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand the rest";

#[tokio::test]
async fn the_answer_is_exactly_this() {
    let api = Api::start().await;
    let image = api.upload(PNG, "image/png").await;
    let answer = api.post(&format!("/process-image/{image}"), "", "").await;
    let id = answer.json()["task_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.status, 202);
    assert_eq!(answer.text(), format!(r#"{{"message":"Image processing started","task_id":"{id}"}}"#));
    assert_eq!(answer.header("location"), format!("/v1/tasks/{id}"));
    let task = api.get(answer.header("location")).await.json();
    assert_eq!(
        (&task["name"], &task["queue"], &task["state"]),
        (&json!("process_image"), &json!(QUEUE), &json!("queued"))
    );
    let rows =
        api.sql("SELECT convert_from(input, 'UTF8') FROM task WHERE id = $1", &[&id.parse::<Uuid>().unwrap()]).await;
    assert_eq!(rows[0].get::<_, &str>(0), format!(r#"{{"args":[],"kwargs":{{"image_id":"{image}"}}}}"#));
    api.stop().await;
}

#[tokio::test]
async fn options_are_handed_on_and_checked() {
    let api = Api::start().await;
    let image = api.upload(PNG, "image/png").await;
    let path = format!("/process-image/{image}");
    let options = r#"{"width": 64, "height": 32, "fit": "cover", "format": "webp", "quality": 80, "grayscale": true}"#;
    let answer = api.post_json(&path, options).await;
    let id: Uuid = answer.json()["task_id"].as_str().unwrap().parse().unwrap();
    let rows = api.sql("SELECT convert_from(input, 'UTF8')::jsonb->'kwargs' FROM task WHERE id = $1", &[&id]).await;
    let mut expected: serde_json::Value = options.parse().unwrap();
    expected["image_id"] = image.to_string().into();
    assert_eq!(rows[0].get::<_, serde_json::Value>(0), expected);

    for options in
        [r#"{"width": 0}"#, r#"{"height": 8193}"#, r#"{"fit": "x"}"#, r#"{"format": "gif"}"#, r#"{"quality": 0}"#, "[]"]
    {
        api.post_json(&path, options).await.assert_problem(422, "invalid_request");
    }
    api.post_json(&path, r#"{"colour": "red"}"#).await.assert_problem(422, "unknown_field");
    api.post_json(&path, "{").await.assert_problem(400, "malformed_json");
    api.post(&path, "{}", "text/plain").await.assert_problem(415, "unsupported_media_type");
    api.stop().await;
}

#[tokio::test]
async fn only_images_are_processed() {
    let api = Api::start().await;
    let text = api.upload(b"a,b", "text/csv").await;
    api.post(&format!("/process-image/{text}"), "", "").await.assert_problem(422, "item_not_image");
    api.post(&format!("/process-image/{}", Uuid::now_v7()), "", "").await.assert_problem(404, "item_not_found");
    api.stop().await;
}

#[tokio::test]
async fn without_any_worker_the_fault_is_not_the_clients() {
    let api = Setup::new().await.start().await;
    let image = api.upload(PNG, "image/png").await;
    api.post(&format!("/process-image/{image}"), "", "").await.assert_problem(503, "no_worker_yet");
    api.stop().await;
}
