//! Priorities are strict between the classes: what is urgent passes what waits.

use serde_json::json;

use crate::stage::{SLOTS, SOON, Stage};

const BACKLOG: usize = 5_000;

#[tokio::test]
async fn an_urgent_task_passes_a_backlog() {
    let stage = Stage::start("priority").await;
    let mut low = stage.client.task("sleep", json!({ "seconds": 0.05 }));
    low["priority"] = json!(0);
    for _ in 0..BACKLOG / 1000 {
        stage.client.batch(&vec![low.clone(); 1000]).await;
    }
    let mut urgent = stage.client.task("sleep", json!({ "seconds": 0 }));
    urgent["priority"] = json!(9);
    let urgent = stage.client.submit(urgent).await;
    stage.client.wait(urgent, SOON).await;
    let passed = stage
        .database
        .number(
            "SELECT count(*) FROM task t, task u WHERE u.priority = 9 AND t.priority = 0 AND t.started_at > u.created_at
                AND t.started_at < u.started_at",
        )
        .await;
    let left = stage.database.number("SELECT count(*) FROM task WHERE state = 'queued'").await;
    println!("priority: {passed} of {BACKLOG} tasks started before the urgent one, {left} still wait");
    assert!(left > 1_000, "the backlog was no backlog: {left} left");
    assert!(passed <= i64::try_from(2 * SLOTS).unwrap_or(0), "{passed} tasks went before the urgent one");
}
