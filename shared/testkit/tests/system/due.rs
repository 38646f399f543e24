//! Many tasks due at once: none early, none twice, all soon.

use std::time::Duration;

use serde_json::json;

use crate::stage::{SOON, Stage};

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

/// A workflow that somebody has locked is left to a later round, and holds up no other.
#[tokio::test]
async fn a_locked_workflow_keeps_no_other_from_expiring() {
    let stage = Stage::start_with("locked-workflow", 1).await;
    let busy = stage.client.run("sleep", json!({ "seconds": 120 })).await;
    stage.running(busy).await; // so nothing else starts
    let soon = stage.database.time("SELECT now() + interval '3 seconds'").await;
    let mut task = stage.client.task("echo", json!({ "message": 1 }));
    task["expires_at"] = json!(soon);
    let group = json!({ "tasks": [task] });
    let locked = stage.client.workflow("/v1/groups", &group).await;
    let other = stage.client.workflow("/v1/groups", &group).await;

    let url = &stage.place.servers().postgres_url;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
    let connection = tokio::spawn(connection);
    let lock = format!("BEGIN; SELECT FROM workflow WHERE id = '{locked}' FOR UPDATE");
    client.batch_execute(&lock).await.expect("the lock is free");
    stage.client.workflow_ended(other, SOON).await;
    client.batch_execute("ROLLBACK").await.expect("the lock is given back");
    drop(client);
    connection.await.expect("it ends").expect("in order");
    stage.client.workflow_ended(locked, SOON).await;
}
