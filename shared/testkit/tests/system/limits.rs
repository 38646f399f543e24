//! Time limits: the worker ends an attempt at its limit; where the worker cannot, the deadline sweep of another does.

use std::time::Duration;

use serde_json::json;

use crate::stage::{SOON, Stage};

#[tokio::test]
async fn a_task_past_its_time_limit_is_ended() {
    let stage = Stage::start("time-limit").await;
    for name in ["sleep", "sleep_deaf", "spin"] {
        let mut task = stage.client.task(name, json!({ "seconds": 4 }));
        task["timeout"] = json!(0.3);
        task["retry"] = json!({ "max_attempts": 2, "backoff": { "type": "constant", "initial": 0.1 } });
        let task = stage.client.submit(task).await;
        let ended = stage.client.wait(task, SOON).await;
        assert_eq!(
            (&ended["state"], &ended["error"]["code"]),
            (&json!("failed"), &json!("timed_out")),
            "{name}: {ended}"
        );
        assert_eq!(stage.outcomes(task).await, ["timed_out"; 2], "{name}");
        assert_eq!(stage.executions(task), 2, "{name}");
    }
}

/// The worker is frozen, but not for so long that it would be missed: its lease holds, and only the limit is over.
#[tokio::test]
async fn the_deadline_sweep_ends_what_its_worker_does_not() {
    let mut stage = Stage::start("deadline-sweep").await;
    let mut task = stage.client.task("sleep_deaf", json!({ "seconds": 2 }));
    task["timeout"] = json!(0.5);
    task["retry"] = json!({ "max_attempts": 1 });
    let task = stage.client.submit(task).await;
    stage.running(task).await;
    stage.worker.freeze();
    let mut other = stage.worker("worker-2").await;

    let ended = stage.client.wait(task, Duration::from_secs(40)).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("timed_out")), "{ended}");
    assert!(other.counters().await.sum("caraway_overdue_total") >= 1);

    // the worker wakes up, wants to record its own ending, and comes too late
    stage.worker.thaw();
    caraway_testkit::eventually(SOON, "the late record is refused", async || {
        let refused = stage.worker.counters().await.sum("caraway_records_refused_total");
        if refused >= 1 { Ok(()) } else { Err(format!("{refused} refused")) }
    })
    .await;
    assert_eq!(stage.client.show(task).await, ended);
}

/// The soft limit asks: a handler that listens ends early, as timed out; one that does not goes on to the hard limit.
#[tokio::test]
async fn the_soft_limit_asks_and_the_hard_one_ends() {
    let stage = Stage::start("soft-limit").await;
    for (name, seconds, code) in
        [("sleep", 30.0, "timed_out"), ("sleep_deaf", 1.0, ""), ("sleep_deaf", 30.0, "timed_out")]
    {
        let mut task = stage.client.task(name, json!({ "seconds": seconds }));
        task["soft_timeout"] = json!(0.3);
        task["timeout"] = json!(2.5);
        task["retry"] = json!({ "max_attempts": 1 });
        let task = stage.client.submit(task).await;
        let ended = stage.client.wait(task, SOON).await;
        assert_eq!(ended["error"]["code"].as_str().unwrap_or_default(), code, "{name}: {ended}");
    }
    let ran =
        "SELECT (extract(epoch FROM finished_at - started_at) * 1000)::bigint FROM task ORDER BY created_at LIMIT 1";
    assert!(stage.database.number(ran).await < 2_000, "the one that listens ended at its soft limit");
}

/// No index knows of a limit, so the claim of a task with one is as cheap as that of one without.
#[tokio::test]
async fn a_time_limit_leaves_a_claim_a_hot_update() {
    const TASKS: i64 = 200;
    let stage = Stage::start("hot-claims").await;
    let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
    task["timeout"] = json!(60);
    stage.client.batch(&vec![task; 200]).await;
    caraway_testkit::eventually(SOON, "all have run", async || {
        let done = stage.database.number("SELECT count(*) FROM task WHERE state = 'succeeded'").await;
        if done == TASKS { Ok(()) } else { Err(format!("{done} done")) }
    })
    .await;
    // the counters come some time later
    let hot = "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'task_run'";
    caraway_testkit::eventually(SOON, "every claim was a HOT update", async || {
        let hot = stage.database.number(hot).await;
        if hot >= TASKS { Ok(()) } else { Err(format!("{hot} updates were")) }
    })
    .await;
}
