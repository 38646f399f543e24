//! Priorities are strict between the classes: what is urgent passes what waits.

use rand::seq::SliceRandom as _;
use serde_json::json;

use crate::stage::{SLOTS, SOON, Stage};

const BACKLOG: usize = 5_000;
/// Tasks of each of the ten priorities.
const OF_EACH: usize = 20;

#[tokio::test]
async fn an_urgent_task_passes_a_backlog() {
    let stage = Stage::start("priority").await;
    known(&stage).await;
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

/// One task of each class goes through, so that the API has declared all three broker queues, for which the first message of a
/// class waits.
async fn known(stage: &Stage) {
    for priority in [1, 5, 8] {
        let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
        task["priority"] = json!(priority);
        let task = stage.client.submit(task).await;
        stage.client.wait(task, SOON).await;
    }
}

/// Within a class the numbers mean nothing; between the classes they do, at every boundary, and in a queue's first seconds too. All
/// is with the broker before the worker chooses: three queues deliver when they can, and what is still on its way cannot be
/// preferred.
#[tokio::test]
async fn the_classes_are_strict() {
    let mut stage = Stage::start("classes").await;
    let mut tasks = Vec::new();
    for priority in 0..=9 {
        let mut task = stage.client.task("sleep", json!({ "seconds": 0.01 }));
        task["priority"] = json!(priority);
        tasks.extend(vec![task; OF_EACH]);
    }
    tasks.shuffle(&mut rand::rng());
    stage.worker.terminate(SOON).await;
    let ids = stage.client.batch(&tasks).await;
    stage.all_with_the_broker().await;
    stage.worker.restart().await;
    for id in ids {
        stage.client.wait(id, SOON).await;
    }
    // 0-2, 3-6, 7-9: how many of a lower class began before one of a higher class that was there already
    let passed = stage
        .database
        .number(
            "SELECT coalesce(max(n), 0) FROM task h, LATERAL (SELECT count(*) AS n FROM task l
                WHERE l.started_at < h.started_at AND l.started_at > h.created_at AND width_bucket(l.priority, ARRAY[3, 7]) < width_bucket(h.priority, ARRAY[3, 7])) x",
        )
        .await;
    println!("priority: at most {passed} of {} tasks of lower classes started before one of a higher", 7 * OF_EACH);
    assert!(passed <= i64::try_from(2 * SLOTS).unwrap_or(0), "{passed} tasks of a lower class went before");
}

/// More than any lane holds at a time.
const LOWER: usize = 40;
/// Of these, so many that they take all slots for longer than anything is held.
const SATURATING: usize = 200;
const SATURATING_SECONDS: f64 = 0.15;

/// While a higher class takes all slots, what waits in the lower ones lies in the broker: it is not handed back through the
/// database again and again.
#[tokio::test]
async fn a_class_that_gets_no_slot_costs_no_writes() {
    let mut stage = Stage::start("starved").await;
    let of = |priority: u8, seconds: f64| {
        let mut task = stage.client.task("sleep", json!({ "seconds": seconds }));
        task["priority"] = json!(priority);
        task
    };
    let high = stage.client.batch(&vec![of(9, SATURATING_SECONDS); SATURATING]).await;
    let lower = [vec![of(5, 0.0); LOWER], vec![of(0, 0.0); LOWER]].concat();
    let lower = stage.client.batch(&lower).await;
    for id in high {
        stage.client.wait(id, SOON).await;
    }
    for id in lower {
        stage.client.wait(id, SOON).await;
    }
    let counters = stage.worker.counters().await;
    let sum = |name: &str| counters.sum(name);
    let (handed_back, doubled) = (sum("caraway_handed_back_total"), sum("caraway_stale_pointers_total"));
    let owed_again = stage.database.number("SELECT count(*) FROM task WHERE offered_at IS NOT NULL").await;
    println!("starved: {handed_back} handed back, {owed_again} owed again, {doubled} came twice");
    assert_eq!((handed_back, owed_again), (0, 0));
    assert!(doubled <= u64::try_from(LOWER).unwrap_or(0), "{doubled} pointers came twice");
}
