//! Must-show 5: a task that takes its worker with it each time is ended as poison, and its neighbours are not blamed.

use std::time::Duration;

use caraway_testkit::{Loading, Place, Program, Stack, eventually};
use serde_json::json;
use uuid::Uuid;

use crate::stage::SOON;

const INNOCENT: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_kills_its_workers_is_poison_and_its_neighbours_are_innocent() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "poison").await;
    let api = place.api().start().await;
    let mut workers =
        [place.ledger_worker("worker-1", 8).start().await, place.ledger_worker("worker-2", 8).start().await];
    let client = place.client(&api);
    let database = place.database().await;

    let innocent = client.task("sleep", json!({ "seconds": 0.1 }));
    let loading = Loading::start(&client, &innocent, INNOCENT, 8, Duration::from_secs(4));
    let poison = client.run("abort", json!({})).await;
    let crashes = supervise(&mut workers, &client, poison).await;

    let ended = client.wait(poison, SOON).await;
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("poison")), "{ended}");
    assert_eq!(crashes, 3, "it was lost twice, then ran alone, and that was enough");
    let load = loading.done().await;
    eventually(SOON * 2, "every innocent task has succeeded", async || {
        let states = database.states().await;
        let done = (states.get("succeeded"), states.get("failed")) == (Some(&500), Some(&1));
        if done { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    let lost = database.number("SELECT count(*) FROM task WHERE losses > 0").await - 1;
    let again = place.ledger().read().values().filter(|runs| runs.len() > 1).count() - 1;
    println!(
        "poison: accepted {}, crashes {crashes}, innocent tasks lost at least once {lost}, executed twice {again}",
        load.accepted.len()
    );
    assert!(lost > 0, "no innocent task was ever beside it");
}

/// What systemd or Kubernetes would do: starts again what has ended, until the task has. How many crashes there were.
async fn supervise(workers: &mut [Program], client: &caraway_testkit::Api, task: Uuid) -> usize {
    let mut crashes = 0;
    eventually(Duration::from_secs(90), "the poison has ended", async || {
        for worker in workers.iter_mut().filter_map(|worker| worker.exited().map(|_| worker)) {
            crashes += 1;
            worker.respawn();
        }
        let document = client.show(task).await;
        if document["finished_at"].is_string() { Ok(()) } else { Err(format!("{crashes} crashes, {document}")) }
    })
    .await;
    crashes
}
