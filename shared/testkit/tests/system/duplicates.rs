//! Messages that are doubled, stale, forged or from the future do nothing.

use caraway_testkit::{Protocol, Proxy, Servers, Trap, eventually};
use serde_json::json;

use crate::{
    quarantine::pointer,
    stage::{SOON, Stage},
};

#[tokio::test]
async fn repeated_and_forged_pointers_run_nothing_twice() {
    let mut stage = Stage::start("duplicates").await;
    let broker = stage.place.broker().await;
    let running = stage.client.run("sleep", json!({ "seconds": 3 })).await;
    stage.running(running).await;
    let ended = stage.client.run("sleep", json!({ "seconds": 0 })).await;
    stage.client.wait(ended, SOON).await;
    let mut later = stage.client.task("sleep", json!({ "seconds": 0 }));
    later["delay"] = json!(3600);
    let later = stage.client.submit(later).await;

    for task in [running, ended, later] {
        for epoch in [-1, 0, 0, 1, 1, 2, i32::MAX] {
            broker.publish(stage.place.queue(), &pointer(task, epoch)).await;
        }
    }
    eventually(SOON, "every one of them was found to be stale", async || {
        let found = stage.worker.counters().await.sum("caraway_stale_pointers_total");
        if found >= 21 { Ok(()) } else { Err(format!("{found} were")) }
    })
    .await;

    assert_eq!(stage.client.wait(running, SOON).await["state"], "succeeded");
    assert_eq!(stage.client.show(later).await["state"], "scheduled", "its time has not come");
    assert_eq!([running, ended, later].map(|task| stage.executions(task)), [1, 1, 0]);
}

/// A storm of stale pointers, as after an audit or a requeue, must not carry every task's arguments out of the database.
#[tokio::test]
async fn a_stale_pointer_reads_no_arguments() {
    const TASKS: usize = 20;
    const BYTES: usize = 200 << 10;
    let mut stage = Stage::start("stale-arguments").await;
    let large = stage.client.task("echo", json!({ "message": "x".repeat(BYTES) }));
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.extend(stage.client.batch(&vec![large.clone(); TASKS / 5]).await);
    }
    for task in &tasks {
        assert_eq!(stage.client.wait(*task, SOON).await["state"], "succeeded");
    }
    stage.worker.terminate(SOON).await;

    let direct = stage.place.servers();
    let proxy = Proxy::to(Proxy::address_in(&direct.postgres_url), Protocol::Bytes).await;
    let through = Servers { postgres_url: proxy.url(&direct.postgres_url), ..direct.clone() };
    let mut worker = stage.place.ledger_worker("behind-a-proxy", 4).through(&through).start().await;
    proxy.arm(Trap::AfterBytes(u64::try_from(BYTES * TASKS / 4).expect("it fits")));
    let broker = stage.place.broker().await;
    for task in &tasks {
        broker.publish(stage.place.queue(), &pointer(*task, 0)).await;
    }
    eventually(SOON, "every one of them was found to be stale", async || {
        let found = worker.counters().await.sum("caraway_stale_pointers_total");
        if found >= 20 { Ok(()) } else { Err(format!("{found} were")) }
    })
    .await;
    assert_eq!(proxy.fired(), 0, "the database sent a quarter of all arguments or more");
}
