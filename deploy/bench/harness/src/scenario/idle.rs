//! `idle`: processor time and memory of everything, with nothing to do.

use std::time::Duration;

use crate::{
    numbers::Latencies,
    report::Row,
    round::{Entry, Measured},
    scenario::{Bench, submit},
    system::{Running, Setup},
};

/// What the first tasks have begun may end.
const SETTLING: Duration = Duration::from_secs(5);

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let entries = bench.entries(&["idle"], &submit::SYSTEMS);
    bench.alternate("idle", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    let watched = running.watched(&bench.servers)?;
    tokio::time::sleep(SETTLING).await;
    let watch = watched.begin()?;
    tokio::time::sleep(bench.run.seconds()).await;
    let measured = Measured::new(0.0, Latencies::default(), &watch, &watched)?.without_rate();
    running.stop().await?;
    Ok(measured)
}
