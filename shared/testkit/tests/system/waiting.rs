//! Waiting for a task's end over HTTP: at once when it ends, and cheap however many wait.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use crate::stage::{SOON, Stage};

/// Open waits on one API process.
const WAITERS: usize = 5_000;

#[tokio::test]
async fn a_submission_may_wait_for_its_end() {
    let stage = Stage::start("prefer-wait").await;
    let quick = stage.client.task("sleep", json!({ "seconds": 0.2 }));
    let (status, task) = stage.client.submit_and_wait(&quick, 10).await;
    assert_eq!((status, &task["state"]), (200, &json!("succeeded")), "{task}");
    let slow = stage.client.task("sleep", json!({ "seconds": 3 }));
    let asked = Instant::now();
    let (status, task) = stage.client.submit_and_wait(&slow, 1).await;
    assert_eq!((status, asked.elapsed().as_secs()), (202, 1), "{task}");
}

/// All hear of it soon, and the database holds no connection for them meanwhile.
#[tokio::test]
async fn thousands_wait_for_one_end() {
    let stage = Stage::start("waiters").await;
    let task = stage.client.run("sleep", json!({ "seconds": 6 })).await;
    stage.running(task).await;
    let before = stage.database.connections().await;
    let waits: Vec<_> = (0..WAITERS)
        .map(|_| {
            let client = stage.client.clone();
            tokio::spawn(async move { (client.show_ended(task, 60).await, Instant::now()) })
        })
        .collect();
    let open = stage.database.connections().await;
    assert!(open <= before + 8, "{open} connections, {before} before anybody waited");
    let ended = stage.client.wait(task, SOON).await;
    let ended_at = Instant::now();
    assert_eq!(ended["state"], "succeeded");
    let mut last = Duration::ZERO;
    for answer in join_all(waits).await {
        let (shown, at) = answer.expect("no client panics");
        assert_eq!(shown["state"], "succeeded", "{shown}");
        last = last.max(at.saturating_duration_since(ended_at));
    }
    println!("waiting: the last of {WAITERS} heard {} ms after the first", last.as_millis());
    assert!(last < Duration::from_secs(2), "{last:?}");
}
