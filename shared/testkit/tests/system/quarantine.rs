//! Messages that mean nothing are put aside for people, and stop nobody.

use std::time::Duration;

use caraway_testkit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::stage::{SOON, Stage};

/// It owes again what lies in no queue, after 30 s.
const BEFORE_THE_AUDIT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn unreadable_and_unknown_messages_are_put_aside() {
    let mut stage = Stage::start("quarantine").await;
    let broker = stage.place.broker().await;
    let queue = stage.place.queue();
    let garbage = [vec![], b"garbage".to_vec(), vec![1; 20], vec![7; 64 << 10]];
    for body in &garbage {
        broker.publish(queue, body).await;
    }
    let stranger = pointer(Uuid::now_v7(), 0);
    broker.publish(queue, &stranger).await;

    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded");

    let kept = eventually(SOON, "five messages are in quarantine", async || {
        let kept = stage.database.quarantined(queue).await;
        if kept.len() == garbage.len() + 1 { Ok(kept) } else { Err(format!("{} are", kept.len())) }
    })
    .await;
    let unreadable = kept.iter().filter(|(reason, _)| reason == "unreadable").count();
    assert_eq!(unreadable, garbage.len());
    assert!(kept.contains(&("unknown_task".into(), stranger)));
    assert!(kept.iter().all(|(_, body)| body.len() <= 4096), "no more is kept of a body than people need");
    assert!(stage.worker.counters().await.sum("caraway_quarantined_total") >= 5);
    assert_eq!(broker.ready(queue).await, 0, "what was put aside is gone from the queue");
}

/// The message of one pointer, written down by hand: version, id, epoch.
pub(crate) fn pointer(task: Uuid, epoch: i32) -> Vec<u8> {
    [&[1], &task.as_bytes()[..], &epoch.to_be_bytes()].concat()
}

/// In one message, before, between and behind pointers that mean something.
#[tokio::test]
async fn strangers_in_a_message_stop_none_of_those_beside_them() {
    let mut stage = Stage::start("quarantine-beside").await;
    let broker = stage.place.broker().await;
    let queue = stage.place.queue().to_owned();
    stage.worker.terminate(SOON).await;
    let tasks = stage.client.batch(&vec![stage.client.task("sleep", json!({ "seconds": 0 })); 20]).await;
    stage.all_with_the_broker().await;
    // nobody owes them for half a minute: what runs them before is the message below
    assert!(broker.purge(&queue).await >= 1);
    let strangers: Vec<Uuid> = tasks.iter().map(|_| Uuid::now_v7()).collect();
    let mut bundle = vec![1];
    for (stranger, task) in strangers.iter().zip(&tasks) {
        bundle.extend(&pointer(*stranger, 0)[1..]);
        bundle.extend(&pointer(*task, 0)[1..]);
    }
    broker.publish(&queue, &bundle).await;
    stage.worker.restart().await;
    for task in tasks {
        assert_eq!(stage.client.wait(task, BEFORE_THE_AUDIT).await["state"], "succeeded");
        assert_eq!(stage.executions(task), 1);
    }
    let shown = eventually(SOON, "the strangers are shown", async || {
        let shown = stage.client.quarantine().await;
        if shown.len() == strangers.len() { Ok(shown) } else { Err(format!("{} are", shown.len())) }
    })
    .await;
    let hex = |stranger: &Uuid| format!("01{}00000000", stranger.simple());
    for stranger in &strangers {
        assert!(shown.iter().any(|one| one["reason"] == "unknown_task" && one["body_hex"] == json!(hex(stranger))));
    }
    assert_eq!(broker.ready(&queue).await, 0, "the message is settled");
}

/// As many as a worker keeps in a minute, and far more than that.
const KEPT: i64 = 100;
const FORGED: usize = 3_000;
/// What a message may have at the broker (`max_message_size`).
const MESSAGE_BYTES_MAX: usize = 65_536;

/// 64 forged pointers fit into a message of 1,281 bytes; each would be a row and a log line.
#[tokio::test]
async fn a_flood_of_forged_pointers_leaves_few_rows_and_few_log_lines() {
    let mut stage = Stage::start("quarantine-flood").await;
    let broker = stage.place.broker().await;
    let queue = stage.place.queue().to_owned();
    for _ in 0..FORGED / 60 {
        let strangers = (0..60).flat_map(|_| pointer(Uuid::now_v7(), 0).split_off(1));
        broker.publish(&queue, &[vec![1], strangers.collect()].concat()).await;
    }
    eventually(SOON, "all of them were met", async || {
        let met = stage.worker.counters().await.sum("caraway_quarantined_total");
        if met >= u64::try_from(FORGED).unwrap_or(0) { Ok(()) } else { Err(format!("{met}")) }
    })
    .await;
    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded", "work goes on");
    let rows = stage.database.number("SELECT count(*) FROM quarantine").await;
    let told = stage.worker.log().lines().filter(|line| line.contains("put aside")).count();
    println!("quarantine: {FORGED} forged pointers are {rows} rows and {told} log lines");
    assert!(rows <= 2 * KEPT && told <= 2, "{rows} rows, {told} lines: the minute may have ended once");
}

#[tokio::test]
async fn the_table_keeps_the_newest_only() {
    let stage = Stage::start("quarantine-bound").await;
    let flood =
        "INSERT INTO quarantine (queue, reason, body) SELECT 'q', 'unreadable', '' FROM generate_series(1, 12000)";
    stage.database.execute(flood, &[]).await.expect("the table is there");
    stage.place.broker().await.publish(stage.place.queue(), b"garbage").await;
    eventually(SOON, "the oldest are gone", async || {
        let rows = stage.database.number("SELECT count(*) FROM quarantine").await;
        if rows == 10_000 { Ok(()) } else { Err(format!("{rows} rows")) }
    })
    .await;
    let newest = stage.database.rows("SELECT body FROM quarantine ORDER BY id DESC LIMIT 1").await;
    assert_eq!(newest.first().map(|row| row.get(0)), Some(b"garbage".to_vec()));
}

#[tokio::test]
async fn the_broker_refuses_what_is_far_too_large() {
    let stage = Stage::start("quarantine-size").await;
    let (broker, queue) = (stage.place.broker().await, stage.place.queue());
    broker.publish(queue, &vec![7; MESSAGE_BYTES_MAX]).await;
    assert!(!broker.takes(queue, &vec![7; MESSAGE_BYTES_MAX + 1]).await);
    let task = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(stage.client.wait(task, SOON).await["state"], "succeeded");
}
