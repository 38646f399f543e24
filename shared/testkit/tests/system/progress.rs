//! Progress: shown while a task runs, written seldom however often it is said, and the last word is never lost.

use serde_json::json;

use crate::stage::{SOON, Stage};

const STEPS: u64 = 20_000;
/// Longer than a statement waits for a lock (`shared/src/store/pool.rs`).
const LOCKED_SECONDS: f64 = 6.5;

#[tokio::test]
async fn it_is_shown_while_the_task_runs_and_written_seldom() {
    let stage = Stage::start("progress").await;
    // counted where it is written
    for sql in [
        "CREATE TABLE written (progress text)",
        "CREATE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO written VALUES (NEW.progress); RETURN NEW; END'",
        "CREATE TRIGGER written AFTER UPDATE OF progress ON task_run FOR EACH ROW
            WHEN (NEW.progress IS DISTINCT FROM OLD.progress) EXECUTE FUNCTION written()",
    ] {
        stage.database.execute(sql, &[]).await.expect("a trigger can be made");
    }
    let file = stage.place.folder().join("end");
    let task = stage.client.run("report", json!({ "steps": STEPS, "file": file })).await;
    caraway_testkit::eventually(SOON, "the last of many steps is shown", async || {
        let shown = stage.client.show(task).await;
        let done = (&shown["state"], &shown["progress"]["step"]) == (&json!("running"), &json!(STEPS));
        if done { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    std::fs::write(&file, "").expect("a file can be written");
    let ended = stage.client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["progress"]["step"]), (&json!("succeeded"), &json!("last")), "{ended}");
    let written = stage.database.number("SELECT count(*) FROM written").await;
    println!("progress: {STEPS} steps were written {written} times");
    assert!(written <= 20, "{written} times");
}

/// Its writes fail while somebody holds the row; the outcome, which is written for as long as it takes, brings the last
/// word along.
#[tokio::test]
async fn the_last_word_comes_with_the_outcome() {
    let stage = Stage::start("progress-last").await;
    let file = stage.place.folder().join("end");
    let task = stage.client.run("report", json!({ "steps": 1, "file": file })).await;
    caraway_testkit::eventually(SOON, "the first step is shown", async || {
        let shown = stage.client.show(task).await;
        if shown["progress"]["step"] == 1 { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    let lock = format!(
        "DO $$BEGIN PERFORM FROM task WHERE id = '{task}' FOR UPDATE; PERFORM pg_sleep({LOCKED_SECONDS}); END$$"
    );
    let (locked, ended) = tokio::join!(stage.database.execute(&lock, &[]), async {
        let held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
                AND datname = current_database()";
        caraway_testkit::eventually(SOON, "the row is locked", async || {
            if stage.database.number(held).await == 1 { Ok(()) } else { Err("it is not".into()) }
        })
        .await;
        std::fs::write(&file, "").expect("a file can be written");
        stage.client.wait(task, SOON).await
    });
    locked.expect("a lock can be held");
    assert_eq!((&ended["state"], &ended["progress"]["step"]), (&json!("succeeded"), &json!("last")), "{ended}");
}
