//! What the database reads for a task does not grow with the number of tasks: no statement is planned as if a table, seen
//! empty once, had stayed so.

use std::time::Duration;

use caraway_testkit::{Loading, eventually};
use serde_json::json;

use crate::stage::{SOON, Stage};

const TASKS: usize = 4_000;
/// Index entries read for one task, from its acceptance to its record and the maintenance beside it.
const READS_MAX: i64 = 60;

#[tokio::test]
async fn the_cost_of_a_task_is_its_own() {
    let stage = Stage::start_with("linear", 64).await;
    // what autovacuum does on a new installation
    stage.database.execute("VACUUM ANALYZE task_spec, task_run", &[]).await.unwrap();
    let before = stage.database.number(READS).await;
    let sleep = stage.client.task("sleep", json!({ "seconds": 0 }));
    let load = Loading::start(&stage.client, &sleep, TASKS, 16, Duration::ZERO).done().await;
    assert_eq!(load.accepted.len(), TASKS);
    let done = "SELECT count(*) FROM task WHERE state = 'succeeded'";
    eventually(SOON, "all have run", async || {
        let done = stage.database.number(done).await;
        if usize::try_from(done) == Ok(TASKS) { Ok(()) } else { Err(format!("{done} have")) }
    })
    .await;
    let tasks = i64::try_from(TASKS).unwrap();
    let mut reads = 0;
    // connections tell of what they read some time after they did; at least the claim and the record have looked it up
    eventually(SOON, "the database has told what it read", async || {
        let last = std::mem::replace(&mut reads, stage.database.number(READS).await - before);
        if reads == last && reads >= 2 * tasks { Ok(()) } else { Err(format!("{reads} index entries")) }
    })
    .await;
    let each = reads / tasks;
    println!("linear: {each} index entries read for each of {TASKS} tasks");
    assert!(each > 0 && each < READS_MAX, "{each}");
}

const READS: &str =
    "SELECT coalesce(sum(idx_tup_read), 0)::int8 FROM pg_stat_user_indexes WHERE relname IN ('task_spec', 'task_run')";
