//! The retry policy holds for whatever ends an attempt: the handler, the death of its worker, the deadline sweep.

use std::time::Duration;

use caraway_testkit::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::{SOON, Stage};

/// The sweep waits ten seconds past the limit, and so long after the database began to answer.
const SWEPT: Duration = Duration::from_secs(45);

async fn submit(stage: &Stage, name: &str, kwargs: Value, timeout: Value, retry: Value) -> Uuid {
    let mut task = stage.client.task(name, kwargs);
    task["timeout"] = timeout;
    task["retry"] = retry;
    let task = stage.client.submit(task).await;
    stage.running(task).await;
    task
}

/// Milliseconds from the end of its first attempt to the start of its second one.
async fn waited_ms(stage: &Stage, task: Uuid) -> i64 {
    let sql = format!(
        "SELECT floor(extract(epoch FROM t.started_at - a.ended_at) * 1000)::bigint FROM attempt a
         JOIN task t ON t.id = a.task_id WHERE t.id = '{task}' AND a.epoch = 1"
    );
    stage.database.number(&sql).await
}

#[tokio::test]
async fn the_death_of_a_worker_is_an_error_that_the_policy_judges() {
    let mut stage = Stage::start("policy-lost").await;
    let run = async |retry| submit(&stage, "sleep_deaf", json!({ "seconds": 2 }), json!(60), retry).await;
    let never = run(json!({ "max_attempts": 3, "no_retry_on": ["worker_*"] })).await;
    let others = run(json!({ "max_attempts": 3, "retry_on": ["net_*"] })).await;
    let later = run(json!({ "max_attempts": 3, "jitter": 0, "backoff": { "type": "constant", "initial": 3 } })).await;
    let too_late = run(json!({ "max_retry_duration": 1, "jitter": 0, "backoff": { "initial": 2 } })).await;
    stage.worker.kill().await;
    stage.worker.respawn();
    for task in [never, others, too_late] {
        let ended = stage.client.wait(task, SOON).await;
        assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("worker_lost")), "{ended}");
        assert_eq!((stage.outcomes(task).await, stage.executions(task)), (vec!["lost".to_owned()], 1));
    }
    let ended = stage.client.wait(later, SOON).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(stage.outcomes(later).await, ["lost", "succeeded"]);
    let waited_ms = waited_ms(&stage, later).await;
    assert!(waited_ms >= 3000, "the back-off was 3 s, and it waited {waited_ms} ms");
    assert_eq!(stage.worker.counters().await.sum("caraway_rescued_total"), 4);
}

#[tokio::test]
async fn the_deadline_sweep_asks_the_policy_too() {
    let stage = Stage::start("policy-overdue").await;
    let run = async |retry| submit(&stage, "sleep_deaf", json!({ "seconds": 30 }), json!(1), retry).await;
    let never = run(json!({ "max_attempts": 3, "no_retry_on": ["timed_out"] })).await;
    let later = run(json!({ "max_attempts": 2, "jitter": 0, "backoff": { "type": "constant", "initial": 3 } })).await;
    stage.worker.freeze();
    let mut other = stage.worker("worker-2").await;
    let ended = stage.client.wait(never, SWEPT).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("timed_out")), "{ended}");
    assert_eq!(stage.outcomes(never).await, ["timed_out"]);
    let ended = stage.client.wait(later, SWEPT).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("timed_out")), "{ended}");
    assert_eq!(stage.outcomes(later).await, ["timed_out"; 2]);
    let waited_ms = waited_ms(&stage, later).await;
    assert!(waited_ms >= 3000, "the back-off was 3 s, and it waited {waited_ms} ms");
    assert!(other.counters().await.sum("caraway_overdue_total") >= 2);
    stage.worker.thaw();
}

/// A task that lives long may be beside others' crashes now and then; it is no poison for that.
#[tokio::test]
async fn an_attempt_that_the_handler_ended_forgives_the_losses_before() {
    let mut stage = Stage::start("losses").await;
    let file = stage.place.folder().join("fail");
    let retry = json!({ "max_attempts": 9, "backoff": { "type": "constant", "initial": 0.1 } });
    let task = submit(&stage, "fail_after", json!({ "file": file }), json!(60), retry).await;
    let losses = format!("SELECT losses::bigint FROM task WHERE id = '{task}'");
    for lost in 1..=2 {
        stage.worker.kill().await;
        stage.worker.respawn();
        eventually(SOON, "it runs again", async || {
            let seen = stage.database.number(&losses).await;
            let runs = stage.client.show(task).await["state"] == "running";
            if (seen, runs) == (lost, true) { Ok(()) } else { Err(format!("{seen} losses, runs: {runs}")) }
        })
        .await;
    }
    std::fs::write(&file, "").expect("a file can be written");
    eventually(SOON, "its losses are forgiven", async || {
        let seen = stage.database.number(&losses).await;
        if seen == 0 { Ok(()) } else { Err(format!("{seen} losses")) }
    })
    .await;
    assert_eq!(stage.outcomes(task).await.get(..3).unwrap_or_default(), ["lost", "lost", "failed"]);
}
