//! What a handler is told besides its arguments, and what is kept of what it returns.

use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn the_trace_context_is_handed_on_by_every_way_in() {
    let stage = Stage::start("trace").await;
    let client = stage.client.with_header("traceparent", TRACE);
    let one = client.run("tell", json!({})).await;
    let of_batch = client.batch(&[client.task("tell", json!({}))]).await[0];
    let without = stage.client.run("tell", json!({})).await;
    let traced = |task: Value| (task["traceparent"].clone(), task["result"]["traceparent"].clone());
    for (task, trace) in [(one, json!(TRACE)), (of_batch, json!(TRACE)), (without, json!(null))] {
        assert_eq!(traced(stage.client.wait(task, SOON).await), (trace.clone(), trace));
    }
    let again = stage.client.retry(one).await;
    assert_eq!(traced(stage.client.wait(again, SOON).await), (json!(TRACE), json!(TRACE)), "a retry belongs to it too");
}

#[tokio::test]
async fn a_handler_sees_its_deadlines() {
    let stage = Stage::start("deadlines").await;
    let mut task = stage.client.task("tell", json!({}));
    let open = stage.client.submit(task.clone()).await;
    task["timeout"] = json!(300);
    task["soft_timeout"] = json!(200);
    let limited = stage.client.submit(task).await;
    let open = stage.client.wait(open, SOON).await;
    assert_eq!((&open["result"]["deadline_in"], &open["result"]["soft_deadline_in"]), (&json!(null), &json!(null)));
    let limited = stage.client.wait(limited, SOON).await;
    let left = |field: &str| limited["result"][field].as_f64().unwrap_or_default();
    assert!((290.0..=300.0).contains(&left("deadline_in")), "{limited}");
    assert!((190.0..=200.0).contains(&left("soft_deadline_in")), "{limited}");
}

#[tokio::test]
async fn a_result_that_nobody_wants_is_not_kept() {
    let stage = Stage::start("drop-result").await;
    let mut task = stage.client.task("say", json!({ "token": "secret" }));
    task["store_result"] = json!(false);
    let task = stage.client.submit(task).await;
    let ended = stage.client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("succeeded"), &json!(null)), "{ended}");
    assert_eq!(stage.database.number("SELECT count(*) FROM task WHERE result IS NOT NULL").await, 0);
}
