//! `submit`: one task a request, over so many connections, each asking again as soon as it is answered. The rate is
//! from the first request to the last recorded result; the times are those of the submission.

use crate::{
    load::{Until, closed},
    numbers::{per_second, real},
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::{Job, Producer, Running, Setup, System},
};

pub(super) const SYSTEMS: [System; 6] =
    [System::Caraway, System::Limit, System::CeleryDefault, System::CelerySafe, System::BullmqHttp, System::Bullmq];

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for connections in bench.run.parameters(&["1", "16", "64", "256"]) {
        let entries = bench.entries(&[connections], &SYSTEMS);
        rows.extend(bench.alternate("submit", &entries, async |entry| measure(bench, entry).await).await);
    }
    rows
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let connections = entry.parameter.parse()?;
    let running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    if entry.system == System::Bullmq {
        in_process(bench, running, connections).await
    } else {
        over_http(bench, running, connections).await
    }
}

/// A round of single submissions against a system that runs and is stopped afterwards.
pub(super) async fn over_http(bench: &Bench, mut running: Running, connections: usize) -> anyhow::Result<Measured> {
    let requests = running.single();
    running.warm_up(connections, &requests, 1).await?;
    let watched = running.watched(&bench.servers)?;
    let watch = watched.begin()?;
    let load = closed(running.address()?, connections, &requests, Until::Elapsed(bench.run.seconds())).await?;
    let (load, whole) = running.carry(load, 1).await?;
    let measured = Measured::new(per_second(load.accepted, whole), load.latencies, &watch, &watched)?
        .with("accepted/s", per_second(load.accepted, load.elapsed))
        .with("refused", real(load.refused));
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}

/// So many `add` at once in the producer's own process.
async fn in_process(bench: &Bench, mut running: Running, at_once: usize) -> anyhow::Result<Measured> {
    let mut producer = Producer::start(&bench.servers, &running.site).await?;
    running.submitted += producer.run(Job::Add(at_once), std::time::Duration::from_secs(1)).await?.1;
    running.drained().await?;
    let watched = running.watched(&bench.servers)?.with_program(&producer.program);
    let watch = watched.begin()?;
    let (started, accepted, latencies) = producer.run(Job::Add(at_once), bench.run.seconds()).await?;
    running.submitted += accepted;
    let whole = running.drained().await?.duration_since(started);
    let measured = Measured::new(per_second(accepted, whole), latencies, &watch, &watched)?;
    running.verify().await?;
    producer.program.stop().await?;
    running.stop().await?;
    Ok(measured)
}
