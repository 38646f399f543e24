//! Hand-over: a task that is accepted while a worker has given credit runs there without a claim. Whatever is lost on the way costs
//! time, and no attempt.

use std::time::Duration;

use caraway_testkit::{Api, Database, Place, Program, Stack, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::SOON;

const HANDED: &str = "caraway_handed_over_total";
const UNTOLD: &str = "caraway_handed_over_untold_total";
const BACK: &str = "caraway_handed_over_back_total";

struct Stage {
    api: Program,
    worker: Program,
    client: Api,
    database: Database,
    place: Place,
    _stack: Stack,
}

impl Stage {
    /// With these fail points of the API and of the worker.
    async fn start(name: &str, slots: usize, api: &str, worker: &str) -> Self {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, name).await;
        let api = place.api().variable("FAILPOINTS", api).start().await;
        let worker = taking(&place, "worker-1", slots).variable("FAILPOINTS", worker).start().await;
        let (client, database) = (place.client(&api), place.database().await);
        Self { api, worker, client, database, place, _stack: stack }
    }

    async fn counter(&mut self, name: &str) -> u64 {
        self.worker.counters().await.sum(name)
    }

    /// Runs tasks until this counter of the worker has risen.
    async fn until_risen(&mut self, name: &str) -> Vec<Uuid> {
        let (mut ids, before) = (Vec::new(), self.counter(name).await);
        let (client, worker) = (&self.client, &mut self.worker);
        eventually(SOON, &format!("{name} rises"), async || {
            ids.push(client.run("sleep", json!({ "seconds": 0 })).await);
            let now = worker.counters().await.sum(name);
            if now > before { Ok(()) } else { Err(format!("{now} after {} tasks", ids.len())) }
        })
        .await;
        ids
    }

    /// All of them end well, in their first attempt.
    async fn all_succeed(&self, ids: &[Uuid]) {
        for id in ids {
            let ended = self.client.wait(*id, SOON).await;
            assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(1)), "{ended}");
        }
        assert_eq!(self.database.number("SELECT count(*) FROM task WHERE losses > 0").await, 0, "one was lost");
    }
}

fn taking(place: &Place, name: &str, slots: usize) -> caraway_testkit::Launch {
    place.ledger_worker(name, slots).variable("CARAWAY_HAND_OVER", "true")
}

/// Nothing is left of it but a task that succeeded at its first epoch; what must not be lost, or not start now, is claimed.
#[tokio::test]
async fn a_task_runs_without_a_claim() {
    let mut stage = Stage::start("handed", 8, "", "").await;
    let ids = stage.until_risen(HANDED).await;
    stage.all_succeed(&ids).await;
    let states =
        "SELECT count(*) FROM task WHERE state <> 'succeeded' OR epoch <> 1 OR worker IS NULL OR started_at IS NULL";
    assert_eq!(stage.database.number(states).await, 0);
    eventually(SOON, "no hold and no row of the backlog is left", async || {
        let left = stage.database.number("SELECT (SELECT count(*) FROM hold) + (SELECT count(*) FROM backlog)").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;

    let before = stage.counter(HANDED).await;
    let mut plain = Vec::new();
    for (field, value) in [
        ("retry", json!({ "max_attempts": 1 })),
        ("retry", json!({ "no_retry_on": ["worker_*"] })),
        ("delay", json!(0.1)),
        ("unique", json!({ "key": "one" })),
        ("expires_at", json!("2099-01-01T00:00:00Z")),
    ] {
        let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
        task[field] = value;
        plain.push(stage.client.submit(task).await);
    }
    stage.all_succeed(&plain).await;
    assert_eq!(stage.counter(HANDED).await, before, "one of them was handed over");
    let handed = stage.until_risen(HANDED).await;
    stage.all_succeed(&handed).await;
}

/// What few tasks have is kept all the same, and their document is that of a task which was claimed.
#[tokio::test]
async fn what_few_tasks_have_is_handed_over_too() {
    let mut stage = Stage::start("handed-extra", 8, "", "").await;
    stage.until_risen(HANDED).await;
    let asked = json!({
        "tags": ["one", "two"], "metadata": { "a": 1.50 }, "soft_timeout": 5.0, "timeout": 9.0, "result_ttl": 60.0,
        "store_result": false, "priority": 9
    });
    let mut task = stage.client.task("sleep", json!({ "seconds": 0 }));
    for (field, value) in asked.as_object().expect("an object") {
        task[field] = value.clone();
    }
    let before = stage.counter(HANDED).await;
    let (client, worker) = (&stage.client, &mut stage.worker);
    let id = eventually(SOON, "such a task is handed over", async || {
        let id = client.submit(task.clone()).await;
        client.wait(id, SOON).await;
        if worker.counters().await.sum(HANDED) > before { Ok(id) } else { Err("it was claimed".into()) }
    })
    .await;
    let ended = stage.client.wait(id, SOON).await;
    for (field, value) in asked.as_object().expect("an object") {
        assert_eq!(&ended[field], value, "{field} of {ended}");
    }
    assert_eq!((&ended["state"], &ended["result"]), (&json!("succeeded"), &Value::Null));
    let (_, found) = stage.client.fetch("/v1/tasks?tag=two").await;
    assert!(found["data"].as_array().is_some_and(|found| found.iter().any(|task| task["id"] == json!(id))), "{found}");
}

/// The answer tells that it runs already.
#[tokio::test]
async fn the_answer_tells_that_it_runs() {
    let mut stage = Stage::start("handed-answer", 8, "", "").await;
    stage.until_risen(HANDED).await;
    eventually(SOON, "an answer tells of a task that runs", async || {
        let task = stage.client.task("sleep", json!({ "seconds": 0 }));
        let (status, answer) = stage.client.post("/v1/tasks", &task).await;
        assert_eq!(status, 202, "{answer}");
        let seen = (answer["state"].clone(), answer["attempt"].clone());
        if seen == (json!("running"), json!(1)) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_no_message_tells_of_a_beat_finds() {
    let mut stage = Stage::start("untold", 8, "hand_over.lost=return", "").await;
    let ids = stage.until_risen(UNTOLD).await;
    stage.all_succeed(&ids).await;
}

/// Slots are promised and not kept, as if two APIs had credit for the same ones.
#[tokio::test]
async fn what_finds_no_slot_goes_back_to_its_queue() {
    let mut stage = Stage::start("no-slot", 16, "", "credit.not_kept=return").await;
    stage.until_risen(HANDED).await;
    let (client, worker, mut ids) = (&stage.client, &mut stage.worker, Vec::new());
    // each look of the worker grants eight, and each task takes one: the API has credit when no slot is left
    eventually(SOON, "a task that was handed over finds no slot", async || {
        ids.push(client.run("sleep", json!({ "seconds": 3 })).await);
        let back = worker.counters().await.sum(BACK);
        if back > 0 { Ok(()) } else { Err(format!("{back} of {}", ids.len())) }
    })
    .await;
    stage.all_succeed(&ids).await;
    for id in &ids {
        let outcomes = stage.client.attempts(*id).await;
        let outcomes: Vec<&Value> = outcomes.iter().map(|attempt| &attempt["outcome"]).collect();
        assert!(outcomes.iter().all(|outcome| *outcome == "interrupted" || *outcome == "succeeded"), "{outcomes:?}");
    }
}

/// Whatever credit the API has of a worker that stops, and whatever that has been handed over: nothing is lost, no attempt is spent.
#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_has_not_heard_of() {
    let mut stage = Stage::start("handed-stop", 8, "hand_over.lost=50%return", "").await;
    stage.until_risen(HANDED).await;
    let mut ids = Vec::new();
    for round in 0..3 {
        for _ in 0..20 {
            ids.push(stage.client.run("sleep", json!({ "seconds": 0.05 })).await);
        }
        let mut next = taking(&stage.place, &format!("next-{round}"), 8).start().await;
        std::mem::swap(&mut stage.worker, &mut next);
        assert!(next.terminate(SOON).await.success(), "{}", next.log());
    }
    stage.all_succeed(&ids).await;
}

/// Credit of a session that has been declared dead is worth nothing, and its worker opens another one.
#[tokio::test]
async fn a_dead_session_is_handed_nothing() {
    let mut stage = Stage::start("handed-dead", 8, "", "").await;
    stage.until_risen(HANDED).await;
    stage.database.execute("UPDATE session SET dead = true, ended_at = now()", &[]).await.expect("it is dead");
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stage.client.run("sleep", json!({ "seconds": 0 })).await);
    }
    stage.all_succeed(&ids).await;
    let handed = stage.until_risen(HANDED).await;
    stage.all_succeed(&handed).await;
    assert!(stage.api.exited().is_none());
}

/// A worker that is killed has been handed tasks that it never started: they are tried again, as any that it held.
#[tokio::test]
async fn what_a_killed_worker_was_handed_is_rescued() {
    let mut stage = Stage::start("handed-kill", 8, "", "").await;
    stage.until_risen(HANDED).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(stage.client.run("sleep", json!({ "seconds": 2 })).await);
    }
    stage.worker.kill().await;
    stage.worker.restart().await;
    for id in ids {
        let ended = stage.client.wait(id, Duration::from_mins(1)).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
    }
}
