//! Many tasks due at once: none early, none twice, all soon.

use std::time::Duration;

use serde_json::json;

use crate::stage::Stage;

const TASKS: i64 = 10_000;

#[tokio::test]
async fn ten_thousand_tasks_due_at_the_same_second() {
    let stage = Stage::start_with("due", 256).await;
    let due = stage.database.time("SELECT (date_trunc('second', now()) + interval '8 seconds')").await;
    let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
    task["run_at"] = json!(due);
    for _ in 0..TASKS / 1000 {
        stage.client.batch(&vec![task.clone(); 1000]).await;
    }
    let scheduled = stage.database.number("SELECT count(*) FROM task WHERE state = 'scheduled'").await;
    assert_eq!(scheduled, TASKS, "submitted too slowly for this test");
    caraway_testkit::eventually(Duration::from_mins(1), "all have run", async || {
        let done = stage.database.number("SELECT count(*) FROM task WHERE state = 'succeeded'").await;
        if done == TASKS { Ok(()) } else { Err(format!("{done} done")) }
    })
    .await;
    let first = stage.database.number(&format!("SELECT count(*) FROM task WHERE started_at < '{due}'")).await;
    assert_eq!(first, 0, "none early");
    let last = format!("SELECT (extract(epoch FROM max(started_at) - '{due}') * 1000)::bigint FROM task");
    let last_ms = stage.database.number(&last).await;
    let executed = stage.place.ledger().read();
    assert!(executed.values().all(|runs| runs.len() == 1), "none twice");
    println!("due: the last of {TASKS} started {last_ms} ms after its time");
    assert!(last_ms < 5_000, "the last one started after {last_ms} ms");
}
