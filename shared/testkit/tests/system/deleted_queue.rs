//! A broker queue that is deleted under its consumers is made anew and consumed by all of them.
//!
//! RabbitMQ tells a consumer that its queue is gone, but if the queue is there again by then, it consumes it by itself, and
//! forgets what it is to deliver (seen in 3.10: `rabbit_channel`, where it handles `eol`). Such a consumer counts as one, takes
//! its prefetch of messages, and hears nothing for ever.

use std::time::Duration;

use caraway_testkit::{Program, eventually};
use futures::future::join_all;
use serde_json::json;
use tokio::time::interval;

use crate::stage::{SOON, Stage};

const ROUNDS: usize = 8;
/// The drill's bound for work to go on.
const WITHIN: Duration = Duration::from_secs(10);
/// Tasks that a worker ends of those that came after the deletion; what it had in hand is far less.
const ENOUGH: u64 = 10;
const EVERY: Duration = Duration::from_millis(20);

#[tokio::test]
async fn every_worker_goes_on_after_its_queue_was_deleted() {
    let mut stage = Stage::start("deleted-queue").await;
    let mut others = [stage.worker("worker-2").await, stage.worker("worker-3").await];
    let mut workers: Vec<&mut Program> = others.iter_mut().chain([&mut stage.worker]).collect();
    let broker = stage.place.broker().await;
    let client = stage.client.clone();
    let task = client.task("sleep", json!({ "seconds": 0.01 }));
    let submitting = tokio::spawn(async move {
        let mut next = interval(EVERY);
        loop {
            next.tick().await;
            client.submit(task.clone()).await;
        }
    });
    for round in 0..=ROUNDS {
        if round > 0 {
            broker.delete(stage.place.queue()).await;
        }
        let before = ended(&mut workers).await;
        eventually(if round == 0 { SOON } else { WITHIN }, &format!("round {round}: every worker works"), async || {
            let now = ended(&mut workers).await;
            let more: Vec<u64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
            if more.iter().all(|more| *more >= ENOUGH) { Ok(()) } else { Err(format!("ended since: {more:?}")) }
        })
        .await;
    }
    submitting.abort();
}

async fn ended(workers: &mut [&mut Program]) -> Vec<u64> {
    join_all(workers.iter_mut().map(async |worker| worker.counters().await.sum("caraway_attempts_ended_total"))).await
}
