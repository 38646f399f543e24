//! Must-show 4: while RabbitMQ is stopped, tasks are accepted as fast as ever, and run when it is back.

use std::time::Duration;

use caraway_testkit::{Loading, Place, Stack, eventually};
use serde_json::json;

const TASKS: usize = 100;
const MEDIAN_MAX: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_accepted_while_the_broker_is_stopped() {
    let stack = Stack::start("broker-stopped").await;
    let place = Place::on(&stack, "broker-stopped").await;
    let mut api = place.api().start().await;
    let mut worker = place.ledger_worker("worker-1", 16).start().await;
    let client = place.client(&api);
    let database = place.database().await;

    stack.stop("rabbitmq").await;
    let task = client.task("sleep", json!({ "seconds": 0.05 }));
    let load = Loading::start(&client, &task, TASKS, 4, Duration::from_secs(1)).done().await;
    let median = load.median();
    println!("broker-stopped: accepted {}, refused {}, median {median:?}", load.accepted.len(), load.refused);
    assert_eq!((load.accepted.len(), load.refused, load.unknown), (TASKS, 0, 0));
    assert!(median < MEDIAN_MAX, "the median is {median:?}");
    assert_eq!(database.states().await.get("queued"), Some(&100), "nothing can have run");

    stack.start_server("rabbitmq").await;
    eventually(Duration::from_mins(1), "every task has run", async || {
        let states = database.states().await;
        if states.get("succeeded") == Some(&100) { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    let relayed = api.counters().await.sum("caraway_relay_published_total")
        + worker.counters().await.sum("caraway_relay_published_total");
    println!("broker-stopped: executed {}, relayed {relayed}", place.ledger().read().len());
    assert!(relayed >= 100, "only {relayed} were published by a relay");
}
