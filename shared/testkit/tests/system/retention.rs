//! Finished tasks go when their time is over, and nothing else does.

use std::time::Duration;

use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn what_is_past_its_time_goes() {
    let mut stage = Stage::start("retention").await;
    let task = |name: &str, kwargs, ttl| {
        let mut task = stage.client.task(name, kwargs);
        if let Some(ttl) = ttl {
            task["result_ttl"] = json!(ttl);
        }
        task["retry"] = json!({ "max_attempts": 2, "backoff": { "initial": 0 } });
        task
    };
    let brief = stage.client.submit(task("fail", json!({ "times": 1 }), Some(0))).await;
    let kept = stage.client.submit(task("sleep", json!({ "seconds": 0 }), None)).await;
    let old = stage.client.submit(task("sleep", json!({ "seconds": 0 }), None)).await;
    let failed = stage.client.submit(task("fail", json!({ "times": 9 }), None)).await;
    for id in [kept, old, failed] {
        stage.client.wait(id, crate::stage::SOON).await;
    }
    // two days pass for these; a failed one is kept for seven
    let aged = "ALTER TABLE task_run DISABLE TRIGGER task_terminal_stays";
    stage.database.execute(aged, &[]).await.expect("the trigger is ours to lift");
    let failed = age(&stage, failed).await;
    age(&stage, old).await;

    let left = "SELECT count(*) FROM task";
    caraway_testkit::eventually(Duration::from_secs(50), "two are gone", async || {
        let left = stage.database.number(left).await;
        if left == 2 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
    assert_eq!(stage.client.show(kept).await["state"], "succeeded");
    assert_eq!(stage.client.show(failed).await["state"], "failed");
    let attempts = "SELECT count(*) FROM attempt";
    assert_eq!(stage.database.number(attempts).await, 1, "those of {brief} went with it");
    assert!(stage.worker.counters().await.sum("caraway_tasks_removed_total") >= 2);
}

/// Lets two days pass for a task: it ended then, and was accepted then, which is in its id. The new id.
async fn age(stage: &Stage, task: uuid::Uuid) -> uuid::Uuid {
    let then = task.as_u128() - ((2 * 86_400_000_u128) << 80);
    let aged = uuid::Uuid::from_u128(then);
    for (table, more) in [
        ("task_spec", ""),
        ("ended", ""),
        ("attempt", ""),
        ("task_run", ", finished_at = finished_at - interval '2 days'"),
    ] {
        let id = if table == "attempt" { "task_id" } else { "id" };
        let past = format!("UPDATE {table} SET {id} = $2{more} WHERE {id} = $1");
        stage.database.execute(&past, &[&task, &aged]).await.expect("time can pass");
    }
    aged
}
