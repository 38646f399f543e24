//! Waiting for a task's end over HTTP: at once when it ends, and cheap however many wait.

use std::time::Instant;

use caraway_testkit::{Place, Protocol, Proxy, Servers, Stack, Way, eventually};
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

/// Whether they wait for one task or each for its own, all hear of it soon, and the database holds no connection for
/// them meanwhile.
#[tokio::test]
async fn thousands_wait() {
    let mut stage = Stage::start_with("waiters", 256).await;
    let file = stage.place.folder().join("end");
    let common = stage.client.run("fail_after", json!({ "file": file })).await;
    stage.running(common).await;
    // as many again would end at once without workers to speak of: half have one of their own, which is due later
    let mut later = stage.client.task("sleep", json!({ "seconds": 0 }));
    later["run_at"] = json!(stage.database.time("SELECT now() + interval '30 seconds'").await);
    let mut tasks = vec![common; WAITERS / 2];
    while tasks.len() < WAITERS {
        tasks.extend(stage.client.batch(&vec![later.clone(); 500]).await);
    }
    let before = stage.database.connections().await;
    let waits: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let client = stage.client.clone();
            tokio::spawn(async move { (client.show_ended(task, 60).await, jiff::Timestamp::now()) })
        })
        .collect();
    eventually(SOON, "all wait", async || {
        let open = stage.api.counters().await.sum("caraway_waits_open");
        if usize::try_from(open) == Ok(WAITERS) { Ok(()) } else { Err(format!("{open} do")) }
    })
    .await;
    let open = stage.database.connections().await;
    println!("waiting: {open} connections to the database while {WAITERS} wait, {before} before");
    assert!(open <= before + 8, "{open} connections, {before} before anybody waited");
    // one subscription for all of them; the rest is the pool of eight that serves copies
    let redis = stage.place.servers().redis_url.parse::<reqwest::Url>().ok().and_then(|url| url.port());
    let redis = stage.api.connections_to(redis.expect("the URL has a port"));
    println!("waiting: {redis} connections to Redis");
    assert!((1..=9).contains(&redis), "{redis} connections to Redis");
    std::fs::write(&file, "").expect("a file can be written");
    let mut late = Vec::new();
    for answer in join_all(waits).await {
        let (shown, at) = answer.expect("no client panics");
        let ended: jiff::Timestamp = shown["finished_at"].as_str().expect("it has ended").parse().expect("a time");
        late.push(at.duration_since(ended).as_millis());
    }
    late.sort_unstable();
    let (median, last) = (late[WAITERS / 2], late[WAITERS - 1]);
    println!("waiting: {WAITERS} heard of the end {median} ms after it at the median, {last} ms at most");
    assert!(last < 2_000, "{last} ms");
}

/// The subscription of an API stands and brings nothing any more, as behind a firewall that forgot it: the API says so, and
/// waits are answered by their timer.
#[tokio::test]
async fn a_subscription_that_was_cut_silently_is_noticed() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "cut-subscription").await;
    let servers = place.servers().clone();
    let wire = Proxy::to(Proxy::address_in(&servers.redis_url), Protocol::Bytes).await;
    let api = place.api().through(&Servers { redis_url: wire.url(&servers.redis_url), ..servers }).start().await;
    let _worker = place.ledger_worker("worker-1", 4).start().await;
    let client = place.client(&api);
    assert!(!api.log().contains("wake-ups are not heard"), "{}", api.log());
    wire.set(Way::Stalled);
    eventually(SOON, "it is noticed", async || {
        let log = api.log();
        if log.contains("wake-ups are not heard") { Ok(()) } else { Err(log) }
    })
    .await;
    let (status, task) = client.submit_and_wait(&client.task("sleep", json!({ "seconds": 0 })), 10).await;
    assert_eq!((status, &task["state"]), (200, &json!("succeeded")), "{task}");
}
