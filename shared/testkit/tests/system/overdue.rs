//! Handlers that ignore their token past the hard limit: given up, counted, shown, and their slots replaced up to a
//! bound.

use std::path::PathBuf;

use caraway_testkit::{Counters, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stage::{SOON, Stage};

const OVERDUE_MAX: usize = 2;
const SLOTS: usize = 4;

/// A worker with few places for overdue handlers, and the file that ends those.
struct Hanging {
    stage: Stage,
    file: PathBuf,
}

impl Hanging {
    async fn start(name: &str) -> Self {
        let mut stage = Stage::start(name).await;
        stage.worker.terminate(SOON).await;
        let worker =
            stage.place.ledger_worker("hanging", SLOTS).arguments(["--overdue-max".into(), OVERDUE_MAX.to_string()]);
        // enough async threads that one may be held, on whatever machine this runs
        stage.worker = worker.variable("TOKIO_WORKER_THREADS", "4").start().await;
        let file = stage.place.folder().join("end");
        let _ = std::fs::remove_file(&file);
        Self { stage, file }
    }

    /// Tasks that run past their limit and cannot be ended; waits until they are given up.
    async fn hang(&self, name: &str, count: usize) {
        let mut task = self.stage.client.task(name, json!({ "file": self.file }));
        task["timeout"] = json!(0.3);
        task["retry"] = json!({ "max_attempts": 1 });
        for id in self.stage.client.batch(&vec![task; count]).await {
            let ended = self.stage.client.wait(id, SOON).await;
            assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("timed_out")), "{ended}");
            assert_eq!(self.stage.outcomes(id).await, ["timed_out"]);
        }
    }

    /// Waits until the worker itself and `/v1/workers` tell of so many overdue handlers and slots not replaced.
    async fn told(&mut self, handlers: usize, withheld: usize) {
        let Stage { worker, client, .. } = &mut self.stage;
        eventually(SOON, &format!("{handlers} are overdue, {withheld} slots withheld"), async || {
            let counters = worker.counters().await;
            let gauges = ["caraway_worker_overdue_handlers", "caraway_worker_withheld_slots"];
            let seen = (gauges.map(|name| counters.sum(name)), overdue_shown(&client.workers().await));
            let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
            let wanted = [number(handlers), number(withheld)];
            if seen == (wanted, vec![wanted]) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }

    async fn counters(&mut self) -> Counters {
        self.stage.worker.counters().await
    }

    fn end_them(&self) {
        std::fs::write(&self.file, "").expect("a file can be written");
    }

    async fn succeeds(&self, task: Uuid) -> Value {
        let ended = self.stage.client.wait(task, SOON).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        ended
    }
}

/// Of each worker: handlers overdue, slots withheld.
fn overdue_shown(workers: &[Value]) -> Vec<[u64; 2]> {
    let shown =
        |worker: &Value| [&worker["overdue"], &worker["queues"][0]["withheld"]].map(|n| n.as_u64().unwrap_or(99));
    workers.iter().map(shown).collect()
}

#[tokio::test]
async fn the_slot_of_a_handler_that_hangs_is_replaced_up_to_a_bound() {
    let mut hanging = Hanging::start("overdue").await;
    hanging.hang("hang", OVERDUE_MAX).await;
    hanging.told(OVERDUE_MAX, 0).await;
    // every slot takes work, beside the threads that hang
    let long = vec![hanging.stage.client.task("sleep", json!({ "seconds": 60 })); SLOTS];
    let long = hanging.stage.client.batch(&long).await;
    for task in &long {
        hanging.stage.running(*task).await;
    }
    for task in &long {
        hanging.stage.client.cancel(*task).await;
    }

    // beyond the bound they keep their slots, and in the end there is none
    hanging.hang("hang", SLOTS - 1).await;
    hanging.told(OVERDUE_MAX + SLOTS - 1, SLOTS - 1).await;
    let task = hanging.stage.client.run("sleep", json!({ "seconds": 0 })).await;
    hanging.succeeds(task).await;
    assert_eq!(hanging.stage.worker.readiness().await.0, 200, "one slot is left");
    hanging.hang("hang", 1).await;
    hanging.told(OVERDUE_MAX + SLOTS, SLOTS).await;
    let (status, said) = hanging.stage.worker.readiness().await;
    assert!(status == 503 && said.contains("every slot"), "{status} {said}");
    let written = hanging.stage.worker.log();
    let loud = |line: &str| line.contains("ERROR") && line.contains("no work is taken");
    assert!(written.lines().any(loud), "{written}");

    // what waits is not lost with it: another worker gets it, for this one consumes nothing
    let waits = hanging.stage.client.run("sleep", json!({ "seconds": 0 })).await;
    let mut other = hanging.stage.worker("other").await;
    assert_eq!(hanging.succeeds(waits).await["result"]["pid"], json!(other.pid()));
    other.terminate(SOON).await;

    // when they end, all is as before
    hanging.end_them();
    hanging.told(0, 0).await;
    hanging.stage.worker.wait_ready().await;
    let task = hanging.stage.client.run("sleep", json!({ "seconds": 0 })).await;
    assert_eq!(hanging.succeeds(task).await["result"]["pid"], json!(hanging.stage.worker.pid()));
    let counters = hanging.counters().await;
    let ever = u64::try_from(OVERDUE_MAX + SLOTS).unwrap_or(0);
    assert_eq!(counters.sum("caraway_worker_handlers_overstayed_total"), ever);
    assert_eq!(counters.sum("caraway_records_refused_total"), 0, "the results of those that hung went nowhere");
}

/// It holds a thread of the runtime, which is not replaced; its slot is.
#[tokio::test]
async fn an_async_handler_that_never_yields_is_counted_too() {
    let mut hanging = Hanging::start("overdue-async").await;
    hanging.hang("hang_async", 1).await;
    hanging.told(1, 0).await;
    let long = vec![hanging.stage.client.task("sleep", json!({ "seconds": 1 })); SLOTS];
    for task in hanging.stage.client.batch(&long).await {
        hanging.succeeds(task).await;
    }
    hanging.end_them();
    hanging.told(0, 0).await;
}

/// A stop does not wait for what cannot be ended.
#[tokio::test]
async fn a_handler_that_hangs_does_not_hold_up_a_stop() {
    let mut hanging = Hanging::start("overdue-stop").await;
    hanging.hang("hang", 1).await;
    hanging.told(1, 0).await;
    let asked = std::time::Instant::now();
    let status = hanging.stage.worker.terminate(SOON).await;
    assert!(status.success(), "{status}");
    println!("overdue: a worker with a hanging handler ended {} ms after SIGTERM", asked.elapsed().as_millis());
    assert!(asked.elapsed().as_secs() < 5, "it waited for {:?}", asked.elapsed());
}

/// Handlers that do heed their drop are no overdue ones: a blocking one is dropped at its next `.await`, too.
#[tokio::test]
async fn whoever_comes_to_an_await_is_not_overdue() {
    let mut hanging = Hanging::start("overdue-not").await;
    for name in ["sleep_deaf", "sleep_deaf_blocking"] {
        let mut task = hanging.stage.client.task(name, json!({ "seconds": 60 }));
        task["timeout"] = json!(0.3);
        task["retry"] = json!({ "max_attempts": 1 });
        let task = hanging.stage.client.submit(task).await;
        let ended = hanging.stage.client.wait(task, SOON).await;
        assert_eq!(ended["error"]["code"], "timed_out", "{ended}");
    }
    // on the same slots, one after the other: the drops are over when the last of them runs
    let after = vec![hanging.stage.client.task("sleep", json!({ "seconds": 0.3 })); 2 * SLOTS];
    for task in hanging.stage.client.batch(&after).await {
        hanging.succeeds(task).await;
    }
    assert_eq!(hanging.counters().await.sum("caraway_worker_handlers_overstayed_total"), 0);
}
