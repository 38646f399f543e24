//! Slow tasks fan out: what is posted together to idle workers starts on all of them at once, however it travels.
//!
//! Sixteen processes are what two cores bear beside the other tests; `CARAWAY_FAN_OUT_WORKERS=64` starts more. They serve one queue
//! with four slots each and another with one, so that both shapes are seen: more slots than workers, and as many.

use std::{env, time::Duration};

use caraway_testkit::{Api, Database, Place, Program, Stack, eventually};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::stage::SOON;

const WORKERS: usize = 16;
const SLOTS: usize = 4;
/// Slow tasks that are posted at once.
const TASKS: usize = 64;
const SECONDS: f64 = 10.0;
/// From the acceptance of the first to the start of the last.
const WITHIN: Duration = Duration::from_secs(2);
/// Short tasks, until the type is known to be fast.
const SHORT: usize = 200;

struct Many {
    client: Api,
    database: Database,
    workers: Vec<Program>,
    api: Program,
    place: Place,
    #[expect(dead_code, reason = "held for its drop, which tells where the logs of a failed test are")]
    stack: Stack,
}

impl Many {
    async fn start(name: &str) -> Self {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, name).await;
        let api = place.api().start().await;
        let single = format!("{}-single", place.queue());
        let launch = |index: usize| {
            let launch = place.ledger_worker(&format!("worker-{index}"), SLOTS);
            // so many processes share the connections that the database has
            launch
                .arguments(["--queue".into(), format!("{single}=1"), "--postgres-connections".into(), "2".into()])
                .start()
        };
        let count = env::var("CARAWAY_FAN_OUT_WORKERS").ok().and_then(|count| count.parse().ok());
        let workers = join_all((0..count.unwrap_or(WORKERS)).map(launch)).await;
        let (client, database) = (place.client(&api), place.database().await);
        Self { client, database, workers, api, place, stack }
    }

    /// Posts slow tasks in one batch, waits until all run, and says how long the last one waited.
    async fn last_start(&self, name: &str, queue: &str, count: usize) -> Duration {
        let mut task = self.client.task(name, json!({ "seconds": SECONDS }));
        task["queue"] = json!(queue);
        let ids = self.client.batch(&vec![task; count]).await;
        let started = eventually(SOON, &format!("all {count} have started"), async || {
            let started = self.started(&ids).await;
            if started.len() == count { Ok(started) } else { Err(format!("{} have", started.len())) }
        })
        .await;
        for id in ids {
            assert_eq!(self.client.wait(id, SOON).await["state"], "succeeded");
        }
        Duration::from_secs_f64(started.into_iter().fold(0.0, f64::max))
    }

    /// Seconds from acceptance to start, of those that have started.
    async fn started(&self, ids: &[Uuid]) -> Vec<f64> {
        let ids = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT extract(epoch FROM started_at - created_at)::float8 FROM task
             WHERE id IN ({ids}) AND started_at IS NOT NULL"
        );
        self.database.rows(&sql).await.iter().map(|row| row.get(0)).collect()
    }

    async fn sum(&mut self, counter: &str) -> u64 {
        let mut sum = 0;
        for worker in &mut self.workers {
            sum += worker.counters().await.sum(counter);
        }
        sum
    }
}

#[tokio::test]
async fn slow_tasks_of_one_batch_start_on_all_idle_workers() {
    let mut many = Many::start("fan-out").await;
    let queue = many.place.queue().to_owned();
    let single = format!("{queue}-single");
    let spread = many.last_start("sleep_deaf", &queue, TASKS).await;
    let single = many.last_start("sleep_deaf", &single, many.workers.len().min(TASKS)).await;

    // a type that was fast so far: its tasks share a message, and the worker that gets it hands on what it cannot run
    let short = vec![many.client.task("sleep", json!({ "seconds": 0 })); SHORT];
    let known = "SELECT count(*) FROM task_type WHERE name = 'sleep' AND run_ms < 50";
    eventually(SOON, "the type is known to be fast", async || {
        for id in many.client.batch(&short).await {
            many.client.wait(id, SOON).await;
        }
        let fast = many.database.number(known).await;
        if fast == 1 { Ok(()) } else { Err("it is not".into()) }
    })
    .await;
    let before = many.api.counters().await.sum("caraway_messages_published_total");
    let surprised = many.last_start("sleep", &queue, TASKS).await;
    let messages = many.api.counters().await.sum("caraway_messages_published_total") - before;
    let handed_on = many.sum("caraway_handed_on_total").await;
    println!(
        "fan out: the last of {TASKS} slow tasks began after {spread:.2?}, of as many as {} single slots after {single:.2?}, of \
         {TASKS} that came in {messages} messages after {surprised:.2?} ({handed_on} handed on)",
        many.workers.len(),
    );
    for last in [spread, single, surprised] {
        assert!(last < WITHIN, "{last:?}");
    }
    assert_eq!(many.sum("caraway_handed_back_total").await, 0, "the database has nothing to do with it");
}
