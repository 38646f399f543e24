//! A database that does not answer for a while costs time, and never an attempt: whatever a run reads before or in its handler is
//! asked again. And an outcome that the database will not have ends the task all the same.

use std::time::Duration;

use caraway_testkit::{Database, Place, Stack, eventually};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

/// Longer than statements wait for a lock (5 s), so that what reads the table fails at least once.
const LOCKED_SECONDS: f64 = 8.0;

/// Locks a table for a while; returns once it is locked.
async fn lock(url: &str, table: &'static str) -> tokio::task::JoinHandle<()> {
    let holder = Database::connect(url).await;
    let sql =
        format!("DO $$ BEGIN LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; PERFORM pg_sleep({LOCKED_SECONDS}); END $$");
    let locked = tokio::spawn(async move {
        holder.execute(&sql, &[]).await.expect("a table can be locked");
    });
    let database = Database::connect(url).await;
    eventually(SOON, "the table is locked", async || {
        let sql = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'AccessExclusiveLock' AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        let held = database.number(&sql).await;
        if held > 0 { Ok(()) } else { Err("it is not".into()) }
    })
    .await;
    locked
}

/// A chain whose second step reads the first one's result, a second after that has ended.
async fn chain(stage: &Stage, timeout: Value) -> uuid::Uuid {
    let first = stage.client.task("echo", json!({ "message": "handed on" }));
    let mut second = stage.client.task("echo", json!({ "message": { "$ref": "nodes.first.result" } }));
    second["delay"] = json!(1.5);
    second["timeout"] = timeout;
    second["retry"] = json!({ "max_attempts": 1 });
    let body = json!({ "nodes": [
        { "key": "first", "task": first },
        { "key": "second", "task": second, "depends_on": [{ "node": "first" }] },
    ] });
    let workflow = stage.client.workflow("/v1/workflows", &body).await;
    let released = "SELECT count(*) FROM task WHERE state = 'scheduled'";
    eventually(SOON, "the second step is scheduled", async || {
        let scheduled = stage.database.number(released).await;
        if scheduled == 1 { Ok(()) } else { Err(format!("{scheduled} are")) }
    })
    .await;
    workflow
}

#[tokio::test]
async fn what_a_node_depends_on_is_read_until_the_database_answers() {
    let stage = Stage::start("pause-node").await;
    let workflow = chain(&stage, json!(60)).await;
    let locked = lock(&stage.place.servers().postgres_url, "workflow_node").await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let (_, results) = stage.client.fetch(&format!("/v1/workflows/{workflow}/results")).await;
    assert_eq!(results[1], "handed on");
    assert_eq!(stage.database.number("SELECT count(*) FROM attempt").await, 0, "it was one attempt");
    locked.await.expect("the table was locked");
}

/// The limit ends it: the attempt is given back, and not spent.
#[tokio::test]
async fn a_time_limit_that_is_reached_while_the_database_pauses_spends_nothing() {
    let stage = Stage::start("pause-limit").await;
    let workflow = chain(&stage, json!(3.5)).await;
    let locked = lock(&stage.place.servers().postgres_url, "workflow_node").await;
    let ended = stage.client.workflow_ended(workflow, SOON).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let interrupted = "SELECT count(*) FROM attempt WHERE outcome = 'interrupted'";
    assert!(stage.database.number(interrupted).await >= 1, "the limit was reached");
    assert_eq!(stage.database.number("SELECT max(attempt)::bigint FROM task").await, 1, "no attempt was spent");
    locked.await.expect("the table was locked");
}

#[tokio::test]
async fn an_item_is_read_until_the_database_answers() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "pause-item").await;
    let api = place.api().start().await;
    let _worker = place.worker("worker").arguments(place.serving(1)).start().await;
    let client = place.client(&api);
    let image = client.upload("image/png", b"\x89PNG\r\n\x1a\nand the rest".to_vec()).await;
    let locked = lock(&place.servers().postgres_url, "item").await;
    let mut task = client.task("process_image", json!({ "image_id": image }));
    task["retry"] = json!({ "max_attempts": 1 });
    let task = client.submit(task).await;
    let ended = client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("corrupt_image")), "{ended}");
    locked.await.expect("the table was locked");
}

/// First no success can be stored, then no failure either, then all can.
#[tokio::test]
async fn an_outcome_that_the_database_refuses_ends_the_task_as_failed() {
    let stage = Stage::start("refused-outcome").await;
    let rule = |add: &str| format!("ALTER TABLE task_run ADD CONSTRAINT refused CHECK ({add}) NOT VALID");
    stage.database.execute(&rule("state <> 'succeeded'"), &[]).await.expect("a rule can be made");
    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    let ended = stage.client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("internal")), "{ended}");

    let change =
        "ALTER TABLE task_run DROP CONSTRAINT refused, ADD CONSTRAINT refused CHECK (state < 'succeeded') NOT VALID";
    stage.database.execute(change, &[]).await.expect("a rule can be changed");
    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    stage.running(task).await;
    eventually(SOON, "even the failure is refused", async || {
        let told = stage.worker.log().matches("an outcome is refused by the database").count();
        if told >= 3 { Ok(()) } else { Err(format!("told {told} times")) }
    })
    .await;
    assert_eq!(stage.client.show(task).await["state"], "running");
    stage.database.execute("ALTER TABLE task_run DROP CONSTRAINT refused", &[]).await.expect("a rule can be dropped");
    let ended = stage.client.wait(task, SOON + Duration::from_secs(30)).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("internal")), "{ended}");
}
