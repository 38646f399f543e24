//! How late things are on an idle system, by the database's clock: a delay, a retry's back-off, an expiry.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::stage::{SOON, Stage};

/// What half of them must be below.
const LATE_MEDIAN_MAX_MS: i64 = 100;
const TASKS: usize = 20;

/// Milliseconds, sorted.
struct Late(Vec<i64>);

impl Late {
    fn median(&self) -> i64 {
        self.0[self.0.len() / 2]
    }

    fn check(self, what: &str) {
        self.check_below(what, LATE_MEDIAN_MAX_MS);
    }

    fn check_below(mut self, what: &str, median_max: i64) {
        self.0.sort_unstable();
        let (first, last) = (self.0[0], self.0[self.0.len() - 1]);
        println!("punctual: {what}: late by {} ms at the median, {last} at most, of {}", self.median(), self.0.len());
        assert!(first >= 0, "{what}: one was {} ms early", -first);
        assert!(self.median() < median_max, "{what}: {:?}", self.0);
    }
}

/// Milliseconds from one time to another of this task.
async fn between(stage: &Stage, task: Uuid, from: &str, to: &str) -> i64 {
    let sql =
        format!("SELECT floor(extract(epoch FROM ({to}) - ({from})) * 1000)::bigint FROM task WHERE id = '{task}'");
    stage.database.number(&sql).await
}

/// One at a time, at whatever moment of the promoter's sleep.
async fn delayed(stage: &Stage, seconds: f64) -> Late {
    let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
    task["delay"] = json!(seconds);
    let mut late = Vec::new();
    for _ in 0..TASKS {
        let task = stage.client.submit(task.clone()).await;
        stage.client.wait(task, SOON).await;
        let due = format!("created_at + {seconds} * interval '1 second'");
        late.push(between(stage, task, &due, "started_at").await);
    }
    Late(late)
}

#[tokio::test]
async fn a_delay_of_a_second() {
    let stage = Stage::start("punctual-delay").await;
    delayed(&stage, 1.0).await.check("a delay of 1 s");
}

/// The promoter may have gone to sleep for half a second just before it came.
#[tokio::test]
async fn a_delay_shorter_than_the_promoters_sleep() {
    let stage = Stage::start("punctual-short").await;
    delayed(&stage, 0.1).await.check_below("a delay of 0.1 s", 500);
}

#[tokio::test]
async fn a_back_off_of_a_second() {
    let stage = Stage::start("punctual-retry").await;
    let mut task = stage.client.task("fail", json!({ "times": 1 }));
    task["retry"] = json!({ "max_attempts": 2, "jitter": 0, "backoff": { "type": "constant", "initial": 1 } });
    let mut late = Vec::new();
    for _ in 0..TASKS {
        let task = stage.client.submit(task.clone()).await;
        let ended = stage.client.wait(task, SOON).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(2)), "{ended}");
        let due = format!("(SELECT ended_at FROM attempt WHERE task_id = '{task}') + interval '1 second'");
        late.push(between(&stage, task, &due, "started_at").await);
    }
    Late(late).check("a back-off of 1 s");
}

/// Of a task that could not start in time, since every slot was taken.
#[tokio::test]
async fn an_expiry() {
    let stage = Stage::start_with("punctual-expiry", 1).await;
    let long = stage.client.run("sleep", json!({ "seconds": 120 })).await;
    stage.running(long).await;
    let mut late = Vec::new();
    for _ in 0..TASKS {
        let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
        task["expires_at"] = json!(stage.database.time("SELECT now() + interval '2 seconds'").await);
        let task = stage.client.submit(task).await;
        let ended = stage.client.wait_for(task, &["expired"], Duration::from_secs(10)).await;
        assert_eq!(ended["state"], "expired");
        late.push(between(&stage, task, "expires_at", "finished_at").await);
    }
    stage.client.cancel(long).await;
    Late(late).check("an expiry");
}
