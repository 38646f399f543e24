//! `batch-slow`: tasks of five seconds, posted a batch at a time to many workers that have nothing to do and more slots than the
//! batch has tasks. So each task could start at once, and the times are those from its acceptance to its start, as its document
//! tells: a task that a busy worker has in hand while others are idle shows as five seconds. A batch is posted when the one before
//! it has ended.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::{Connection, get},
    numbers::Latencies,
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::{Running, Setup, Slots, System, batch},
};

const WORKERS: usize = 16;
/// Of each worker: together 128.
const SLOTS: u32 = 8;
const TASK: &str = r#"{"name":"sleep","args":[5]}"#;
const TASK_TAKES: Duration = Duration::from_secs(5);
/// In a round, at least.
const BATCHES_MIN: u64 = 2;

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let entries = bench.entries(&["16", "100"], &[System::Caraway]);
    bench.alternate("batch-slow", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let size: usize = entry.parameter.parse()?;
    let setup = Setup { workers: WORKERS, slots: Slots::Concurrency(SLOTS), ..Setup::default() };
    let mut running = Running::start(&bench.servers, entry.system, setup).await?;
    let requests = batch(&vec![TASK; size].join(","));
    let request = requests.list.first().context("nothing to ask")?;
    let mut connection = Connection::open(running.address()?).await?;
    let watched = running.watched(&bench.servers)?;
    let watch = watched.begin()?;
    let mut delays = Vec::new();
    for _ in 0..(bench.run.seconds().as_secs() / TASK_TAKES.as_secs()).max(BATCHES_MIN) {
        let posted: Posted =
            serde_json::from_slice(connection.ask(request).await?.body).context("the answer to a batch")?;
        ensure!(posted.tasks.len() == size, "{} of {size} tasks are accepted", posted.tasks.len());
        running.submitted += u64::try_from(size)?;
        running.drained().await?;
        for task in &posted.tasks {
            delays.push(start_delay(&mut connection, task).await?);
        }
    }
    let most = delays.iter().max().copied().unwrap_or_default().as_secs_f64() * 1000.0;
    let measured = Measured::new(0.0, delays.into_iter().collect::<Latencies>(), &watch, &watched)?.without_rate();
    running.verify().await?;
    running.stop().await?;
    Ok(measured.with("most ms", most))
}

#[derive(Deserialize)]
struct Posted {
    tasks: Vec<Value>,
}

/// What of a task's document tells how long it waited.
#[derive(Deserialize)]
struct Times {
    created_at: Timestamp,
    started_at: Timestamp,
}

/// Of a task in a batch's answer.
async fn start_delay(connection: &mut Connection, task: &Value) -> anyhow::Result<Duration> {
    let id = task.pointer("/task/id").and_then(Value::as_str).context("no id")?;
    let answer = connection.ask(&get(&format!("/v1/tasks/{id}"))).await?;
    ensure!(answer.status == 200, "the task's document: {} {}", answer.status, answer.text());
    let Times { created_at, started_at } = serde_json::from_slice(answer.body)?;
    Ok(Duration::try_from(started_at.duration_since(created_at)).unwrap_or_default())
}
