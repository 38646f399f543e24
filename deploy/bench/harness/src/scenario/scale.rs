//! `scale`: 1, 2, 4 and 8 worker processes with 10 slots each, and tasks that sleep for 50 ms: a process can end 200 of
//! them a second and no more. The rate is from the first request to the last recorded result.

use std::time::{Duration, Instant};

use crate::{
    load::{Until, closed},
    numbers::{Latencies, per_second},
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::{Running, Setup, Slots, System, batch},
};

const SLOTS: u32 = 10;
const TASK: &str = r#"{"name":"sleep","args":[0.05]}"#;
/// Tasks a second that one process can end.
const CEILING: usize = 200;
const BATCH: usize = 100;

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let entries = bench.entries(&["1", "2", "4", "8"], &[System::Caraway]);
    bench.alternate("scale", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let workers: usize = entry.parameter.parse()?;
    let setup = Setup { workers, slots: Slots::Concurrency(SLOTS), ..Setup::default() };
    let mut running = Running::start(&bench.servers, entry.system, setup).await?;
    let requests = batch(&vec![TASK; BATCH].join(","));
    let times = CEILING * workers * usize::try_from(bench.run.seconds().as_secs())? / BATCH;
    let watched = running.watched(&bench.servers)?;
    let (started, watch) = (Instant::now(), watched.begin()?);
    let load = closed(running.address()?, 1, &requests, Until::Asked(times, Duration::from_mins(1))).await?;
    let tasks = load.accepted * u64::try_from(BATCH)?;
    running.submitted += tasks;
    let whole = running.drained().await?.duration_since(started);
    let measured = Measured::new(per_second(tasks, whole), Latencies::default(), &watch, &watched)?;
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}
