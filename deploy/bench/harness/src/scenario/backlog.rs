//! `backlog`: tasks are submitted while no worker runs and all are with the broker; then a worker is started. The rate
//! is from its start to the last recorded result, so that the smallest backlog shows mostly how long a start takes.
//! Memory is looked at all the while.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::time::sleep;

use crate::{
    load::{Until, closed},
    numbers::{Latencies, per_second},
    proc::Watched,
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::{Running, Setup, System},
};

const BATCH: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Everything is published within this.
const PUBLISHED_WITHIN: Duration = Duration::from_mins(10);
const OWED: &str = "SELECT EXISTS (SELECT FROM owed)";

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let entries = bench.entries(&["1000", "100000", "1000000"], &[System::Caraway]);
    bench.alternate("backlog", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let tasks: usize = entry.parameter.parse()?;
    let mut running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    let before = running.watched(&bench.servers)?.memory_mb()?;
    running.stop_workers().await?;
    let requests = running.bulk(BATCH);
    let load = closed(running.address()?, 2, &requests, Until::Asked(tasks / BATCH, PUBLISHED_WITHIN)).await?;
    let accepted = load.accepted * u64::try_from(BATCH)?;
    running.submitted += accepted;
    let submitted_at = Instant::now();
    while running.site.client.query_one(OWED, &[]).await?.get(0) {
        ensure!(submitted_at.elapsed() < PUBLISHED_WITHIN, "tasks are still owed to the broker");
        sleep(LOOK_EVERY).await;
    }
    let queued = running.watched(&bench.servers)?.memory_mb()?;
    let started = Instant::now();
    running.start_workers(&bench.servers).await?;
    let watched = running.watched(&bench.servers)?;
    let (watch, mut most) = (watched.begin()?, Peaks::default());
    let whole = tokio::select! {
        end = running.drained() => end?.duration_since(started),
        never = most.follow(&watched) => return Err(never),
    };
    let measured = Measured::new(per_second(accepted, whole), Latencies::default(), &watch, &watched)?
        .with("accepted/s", per_second(accepted, load.elapsed));
    let measured = with_memory(measured, &before, &queued, &most);
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}

/// The most that each process had.
#[derive(Default)]
struct Peaks(BTreeMap<String, f64>);

impl Peaks {
    /// Looks until it is dropped, or cannot.
    async fn follow(&mut self, watched: &Watched) -> anyhow::Error {
        loop {
            match watched.memory_mb() {
                Ok(now) => {
                    for (name, megabytes) in now {
                        let most = self.0.entry(name).or_insert(0.0);
                        *most = most.max(megabytes);
                    }
                }
                Err(error) => return error,
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn with_memory(
    measured: Measured,
    before: &BTreeMap<String, f64>,
    queued: &BTreeMap<String, f64>,
    most: &Peaks,
) -> Measured {
    let of = |looked: &BTreeMap<String, f64>, name: &str| looked.get(name).copied().unwrap_or(0.0);
    ["api", "worker", "rabbitmq"].into_iter().fold(measured, |measured, name| {
        measured
            .with(&format!("{name} MB before"), of(before, name))
            .with(&format!("{name} MB queued"), of(queued, name))
            .with(&format!("{name} MB at most"), of(&most.0, name))
    })
}
