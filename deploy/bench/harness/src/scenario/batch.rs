//! `batch`: so many tasks a request, over 16 connections. The rate is from the first request to the last recorded
//! result; the times are those of a request. Accepting is faster than executing, so the load is short and the rest is
//! draining; `accepted/s` is reported beside.

use std::time::Duration;

use crate::{
    load::{Until, closed},
    numbers::per_second,
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::{Running, Setup, System},
};

const CONNECTIONS: usize = 16;

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for size in bench.run.parameters(&["100", "1000"]) {
        let entries = bench.entries(&[size], &[System::Caraway, System::Limit]);
        rows.extend(bench.alternate("batch", &entries, async |entry| measure(bench, entry).await).await);
    }
    rows
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let size: u32 = entry.parameter.parse()?;
    let mut running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    let requests = running.bulk(usize::try_from(size)?);
    running.warm_up(1, &requests, u64::from(size)).await?;
    let watched = running.watched(&bench.servers)?;
    let watch = watched.begin()?;
    let time = bench.run.seconds().max(Duration::from_secs(4)) / 2;
    let load = closed(running.address()?, CONNECTIONS, &requests, Until::Elapsed(time)).await?;
    let (load, whole) = running.carry(load, u64::from(size)).await?;
    let tasks = load.accepted * u64::from(size);
    let measured = Measured::new(per_second(tasks, whole), load.latencies, &watch, &watched)?
        .with("accepted/s", per_second(tasks, load.elapsed));
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}
