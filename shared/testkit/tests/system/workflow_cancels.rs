//! Must-show 6: cancelling a large workflow that is busy takes nothing from other requests; and a cancellation whose API dies is
//! finished by a worker.

use std::time::Duration;

use caraway_testkit::{Api, Load, Loading, Place, Stack, eventually};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::SOON;

const NODES: usize = 10_000;
const LONG: Duration = Duration::from_secs(200);
/// Each round submits beside a busy workflow, and then beside the cancellation of it.
const ROUNDS: usize = 3;
const CANCELS: usize = 6;
/// Submissions of one part of a round: about as long as the cancellations take on a slow machine.
const SUBMISSIONS: usize = 400;
const OVER: Duration = Duration::from_secs(2);
const CLIENTS: usize = 8;
const RATIO_MAX: f64 = 3.0;

/// A group of tasks that keep the workers busy for longer than a round takes.
async fn busy_workflow(client: &Api) -> Uuid {
    let task = client.task("sleep", json!({ "seconds": 0.05 }));
    let workflow = client.workflow("/v1/groups", &json!({ "tasks": vec![task; NODES] })).await;
    eventually(LONG, "some of it has ended", async || {
        let (_, document) = client.fetch(&format!("/v1/workflows/{workflow}?limit=1")).await;
        let ended = document["counts"]["succeeded"].as_i64().unwrap_or_default();
        if ended >= 100 { Ok(()) } else { Err(document["counts"].to_string()) }
    })
    .await;
    workflow
}

async fn submissions(client: &Api, task: &Value) -> Load {
    Loading::start(client, task, SUBMISSIONS, CLIENTS, OVER).done().await
}

/// The latency that 99 of a hundred submissions were below.
fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_cancels_of_a_busy_workflow_hold_nobody_up() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "many-cancels").await;
    let api = place.api().start().await;
    let _workers =
        [place.ledger_worker("worker-1", 32).start().await, place.ledger_worker("worker-2", 32).start().await];
    let client = place.client(&api);
    let (task, nothing) = (client.task("echo", json!({ "message": "beside" })), json!({}));
    let (mut beside_work, mut beside_cancels, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let workflow = busy_workflow(&client).await;
        let alone = submissions(&client, &task).await;
        let path = format!("/v1/workflows/{workflow}/cancel");
        let cancels = join_all((0..CANCELS).map(|_| client.post(&path, &nothing)));
        let (beside, answers) = tokio::join!(submissions(&client, &task), cancels);
        for (status, answer) in &answers {
            assert!(matches!(status, 200 | 202) || answer["code"] == "contended", "{status} {answer}");
        }
        assert!(answers.iter().any(|(status, _)| matches!(status, 200 | 202)), "one of them was done: {answers:?}");
        beside_work.extend(alone.latencies);
        beside_cancels.extend(beside.latencies);
        refused += beside.refused + beside.unknown;
        let ended = client.workflow_ended(workflow, LONG).await;
        assert_eq!(ended["state"], "cancelled", "{}", ended["counts"]);
    }
    let (alone, beside) = (p99(beside_work), p99(beside_cancels));
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "many-cancels: p99 of a submission {alone:.1?} beside the work, {beside:.1?} beside {CANCELS} cancels: {ratio:.2}"
    );
    assert_eq!(refused, 0, "submissions were refused");
    assert!(ratio <= RATIO_MAX, "{ratio:.2}");
}

/// The API dies after the first step of a cancellation; a worker takes the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_whose_api_dies_is_finished() {
    /// Three steps.
    const NODES: usize = 1200;
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "cancel-dies").await;
    let mut api = place.api().variable("FAILPOINTS", "workflow.cancel_stepped=return").start().await;
    let _worker = place.ledger_worker("worker-1", 1).start().await;
    let client = place.client(&api);
    let mut later = client.task("sleep", json!({ "seconds": 0 }));
    later["delay"] = json!(3600);
    let workflow = client.workflow("/v1/groups", &json!({ "tasks": vec![later; NODES] })).await;
    let cancel = {
        let (client, path) = (client.clone(), format!("/v1/workflows/{workflow}/cancel"));
        tokio::spawn(async move { client.post(&path, &json!({})).await })
    };
    assert!(!api.wait_exit(SOON).await.success());
    assert!(cancel.await.is_err(), "nobody is told anything");
    api.set_variable("FAILPOINTS", None);
    api.respawn();
    api.wait_ready().await;
    let ended = place.client(&api).workflow_ended(workflow, LONG).await;
    assert_eq!((&ended["state"], &ended["counts"]["cancelled"]), (&json!("cancelled"), &json!(NODES)), "{ended}");
}
