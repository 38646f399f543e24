//! How full messages are: short tasks share one, long ones each have their own, so that no worker sits on what another could do.

use caraway_testkit::eventually;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const TASKS: usize = 40;
const PUBLISHED: &str = "caraway_messages_published_total";

#[tokio::test]
async fn long_tasks_have_a_message_each() {
    let mut stage = Stage::start("bundles").await;
    let short = stage.client.task("echo", json!({ "message": 1 }));
    eventually(SOON, "the queue is known, and short tasks share messages", async || {
        let messages = messages(&mut stage, &short).await;
        if messages <= TASKS / 2 { Ok(()) } else { Err(format!("{TASKS} short tasks came in {messages} messages")) }
    })
    .await;

    let long = stage.client.task("sleep", json!({ "seconds": 0.3 }));
    stage.client.batch(&vec![long.clone(); 2 * TASKS]).await;
    eventually(SOON, "the queue's tasks are known to be long", async || {
        let known = stage.database.number("SELECT count(*) FROM queue WHERE run_seconds > 0.1").await;
        if known > 0 { Ok(()) } else { Err("they are not".into()) }
    })
    .await;
    eventually(SOON, "the API knows it too", async || {
        let messages = messages(&mut stage, &long).await;
        if messages == TASKS { Ok(()) } else { Err(format!("{TASKS} long tasks came in {messages} messages")) }
    })
    .await;
}

/// In how many messages the API tells of so many tasks that are submitted at once.
async fn messages(stage: &mut Stage, task: &Value) -> usize {
    let before = stage.api.counters().await.sum(PUBLISHED);
    let tasks = stage.client.batch(&vec![task.clone(); TASKS]).await;
    for task in tasks {
        stage.client.wait(task, SOON).await;
    }
    usize::try_from(stage.api.counters().await.sum(PUBLISHED) - before).expect("a count")
}
