//! A queue that the broker refuses, because one of its name exists with other arguments, concerns nobody else.

use std::time::Duration;

use caraway_testkit::{Place, Stack, eventually};
use serde_json::json;

use crate::stage::SOON;

/// A relay would take seconds to publish what the publisher could not.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_refused_queue_concerns_nobody_else() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "refused-queue").await;
    let (broker, database) = (place.broker().await, place.database().await);
    let refused = format!("{}-refused", place.queue());
    broker.declare_otherwise(&refused).await;
    let worker = place.ledger_worker("worker-1", 4).arguments(["--queue".into(), format!("{refused}=4")]);
    let mut api = place.api().start().await;
    let mut worker = worker.start().await;
    let client = place.client(&api);

    let mut owed = Vec::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..30 {
        let mut task = client.task("sleep", json!({ "seconds": 0 }));
        task["queue"] = json!(refused);
        owed.push(client.submit(task).await);
        let asked = std::time::Instant::now();
        let (status, task) = client.submit_and_wait(&client.task("sleep", json!({ "seconds": 0 })), 10).await;
        assert_eq!((status, &task["state"]), (200, &json!("succeeded")), "{task}");
        slowest = slowest.max(asked.elapsed());
    }
    println!("refused queue: the slowest task of another queue had ended after {} ms", slowest.as_millis());
    assert!(slowest < AT_ONCE, "{slowest:?}");
    let still_owed =
        "SELECT count(*) FROM task t WHERE state = 'queued' AND EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids))";
    assert_eq!(database.number(still_owed).await, 30, "nothing of it is lost, or marked as published");
    assert_eq!(api.counters().await.sum("caraway_broker_queues_refused"), 1);
    eventually(SOON, "the relays have tried, too", async || {
        let tried = |counters: caraway_testkit::Counters| counters.sum("caraway_relay_published_total");
        let tried = (tried(api.counters().await), tried(worker.counters().await));
        if tried.0 + tried.1 >= 30 { Ok(()) } else { Err(format!("{tried:?}")) }
    })
    .await;
    for log in [api.log(), worker.log()] {
        assert!(log.contains("the broker refuses a queue"), "{log}");
        assert!(!log.contains("publishing is interrupted"), "{log}");
    }
    let told = api.log().lines().filter(|line| line.contains("the broker refuses a queue")).count();
    assert_eq!(told, 1, "once a minute: {}", api.log());

    // somebody removes what is in the way
    broker.delete(&refused).await;
    let mut more = client.task("sleep", json!({ "seconds": 0 }));
    more["queue"] = json!(refused);
    for task in owed {
        assert_eq!(client.wait(task, SOON).await["state"], "succeeded");
    }
    eventually(SOON, "no queue is refused any more", async || {
        client.submit(more.clone()).await; // the API itself tries again when it has something to publish
        let count = api.counters().await.sum("caraway_broker_queues_refused");
        if count == 0 { Ok(()) } else { Err(format!("{count} are")) }
    })
    .await;
}
