//! A broker queue with a length limit refuses what is too much. Once the limit is taken away, all of it runs, although
//! RabbitMQ 3 goes on refusing over every channel over which it did.

use std::time::Duration;

use caraway_testkit::{Place, Stack, eventually};
use serde_json::json;

use crate::stage::SOON;

/// Until the worker stops consuming and the queue is full, a queue in doubt is offered a new channel, and relays follow.
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test]
async fn what_a_full_queue_refused_runs_when_there_is_room() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "full-queue").await;
    let mut api = place.api().start().await;
    let mut worker = place.ledger_worker("worker-1", 1).start().await;
    let client = place.client(&api);
    let pattern = format!("^caraway\\.v1\\.{}\\.", place.queue());
    let limit = r#"{"max-length":1,"overflow":"reject-publish"}"#;
    stack.rabbitmqctl(&["set_policy", place.queue(), &pattern, limit, "--apply-to", "queues"]).await;

    // the only slot is taken, so nothing leaves the queue
    let holder = client.run("sleep", json!({ "seconds": 600 })).await;
    client.wait_for(holder, &["running"], SOON).await;
    let mut tasks = Vec::new();
    for delay in [0.0, 1.0, 2.0, 3.0] {
        for _ in 0..5 {
            let mut task = client.task("sleep", json!({ "seconds": 0 }));
            task["delay"] = json!(delay); // what was delayed is published by the worker, the rest by the API
            tasks.push(client.submit(task).await);
        }
    }
    eventually(WITHIN, "both were refused", async || {
        let refused = "caraway_messages_refused_total";
        let refused = (api.counters().await.sum(refused), worker.counters().await.sum(refused));
        if refused.0 > 0 && refused.1 > 0 { Ok(()) } else { Err(format!("{refused:?}")) }
    })
    .await;

    stack.rabbitmqctl(&["clear_policy", place.queue()]).await;
    client.cancel(holder).await;
    for task in tasks {
        assert_eq!(client.wait(task, WITHIN).await["state"], "succeeded");
    }
    for log in [api.log(), worker.log()] {
        let told = log.lines().filter(|line| line.contains("the broker refuses messages")).count();
        assert!((1..=2).contains(&told), "once a minute, and not for each message: {log}");
        assert!(!log.contains("publishing is interrupted"), "{log}");
    }
}
