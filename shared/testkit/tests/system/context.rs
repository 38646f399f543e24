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
    let usual = stage.client.submit(task.clone()).await;
    task["timeout"] = json!(null);
    let open = stage.client.submit(task.clone()).await;
    task["timeout"] = json!(300);
    task["soft_timeout"] = json!(200);
    let limited = stage.client.submit(task).await;
    let open = stage.client.wait(open, SOON).await;
    assert_eq!((&open["result"]["deadline_in"], &open["result"]["soft_deadline_in"]), (&json!(null), &json!(null)));
    assert_eq!(open["timeout"], json!(null));
    let limited = stage.client.wait(limited, SOON).await;
    let left = |task: &Value, field: &str| task["result"][field].as_f64().unwrap_or_default();
    assert!((290.0..=300.0).contains(&left(&limited, "deadline_in")), "{limited}");
    assert!((190.0..=200.0).contains(&left(&limited, "soft_deadline_in")), "{limited}");
    let usual = stage.client.wait(usual, SOON).await;
    assert_eq!(usual["timeout"], json!(3600.0), "what is not limited by anybody is limited to an hour");
    assert!((3590.0..=3600.0).contains(&left(&usual, "deadline_in")), "{usual}");
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
