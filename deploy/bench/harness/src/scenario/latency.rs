//! `latency`, at low load: one request after the other.
//!
//! | parameter | a round trip is |
//! |---|---|
//! | `202` | from the request to the answer that accepts the task |
//! | `result` | from the request to the result in the client's hands: Caraway in one request (`Prefer: wait`), `limit` by asking again and again, Celery by `.delay().get()`, BullMQ by `add` and `waitUntilFinished`, both in process |
//! | `open 200/s` | as `202`, with 200 requests a second falling due over 16 connections, and counted from when they were due |

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::{
    http::{Connection, get, post},
    load::{Load, Requests, Until, closed, open_loop},
    numbers::{Latencies, per_second},
    proc::{Watch, Watched},
    report::Row,
    round::{Entry, Measured},
    scenario::{Bench, submit},
    system::{Caller, Job, Producer, Running, Setup, System},
};

const RATE: u32 = 200;
const OPEN_CONNECTIONS: usize = 16;

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for parameter in bench.run.parameters(&["202", "result", "open 200/s"]) {
        let entries: Vec<Entry> = bench
            .entries(&[parameter], &submit::SYSTEMS)
            .into_iter()
            .filter(|entry| match entry.system {
                System::Bullmq => parameter == "result",
                System::BullmqHttp => parameter != "result",
                _ => true,
            })
            .collect();
        rows.extend(bench.alternate("latency", &entries, async |entry| measure(bench, entry).await).await);
    }
    rows
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let mut running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    let watched = running.watched(&bench.servers)?;
    let measured = if entry.parameter == "result" {
        result(bench, &mut running, &watched).await?
    } else {
        let requests = running.single();
        running.warm_up(1, &requests, 1).await?;
        let (address, watch) = (running.address()?, watched.begin()?);
        let load = if entry.parameter == "202" {
            closed(address, 1, &requests, Until::Elapsed(bench.run.seconds())).await?
        } else {
            open_loop(address, OPEN_CONNECTIONS, &requests, RATE, bench.run.seconds()).await?
        };
        told(&mut running, load, &watch, &watched)?
    };
    running.drained().await?;
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}

fn told(running: &mut Running, load: Load, watch: &Watch, watched: &Watched) -> anyhow::Result<Measured> {
    running.submitted += load.accepted;
    Measured::new(per_second(load.accepted, load.elapsed), load.latencies, watch, watched)
}

async fn result(bench: &Bench, running: &mut Running, watched: &Watched) -> anyhow::Result<Measured> {
    let time = bench.run.seconds();
    match running.system {
        System::Caraway | System::CarawayHandOver | System::CarawayBefore => {
            let body = br#"{"name":"echo","args":[{"n":1}]}"#;
            let request = post("/v1/tasks", "application/json", "Prefer: wait=10\r\n", body);
            let watch = watched.begin()?;
            // 200: it has ended within the time that the client waits
            let load = closed(running.address()?, 1, &Requests::one(request, 200), Until::Elapsed(time)).await?;
            told(running, load, &watch, watched)
        }
        System::Limit => {
            let watch = watched.begin()?;
            let load = asking(running, Instant::now() + time).await?;
            told(running, load, &watch, watched)
        }
        System::CeleryDefault | System::CelerySafe => {
            let caller = Caller::start(&bench.servers, &running.site, running.system, time)?;
            let watched = watched.clone().with_program(&caller.program);
            let watch = watched.begin()?;
            let (executed, latencies) = caller.finish().await?;
            running.submitted += executed;
            counted(latencies, &watch, &watched, time)
        }
        _ => {
            let mut producer = Producer::start(&bench.servers, &running.site).await?;
            let watched = watched.clone().with_program(&producer.program);
            let watch = watched.begin()?;
            let (_, added, latencies) = producer.run(Job::AddAndWait, time).await?;
            running.submitted += added;
            counted(latencies, &watch, &watched, time)
        }
    }
}

fn counted(latencies: Latencies, watch: &Watch, watched: &Watched, time: Duration) -> anyhow::Result<Measured> {
    Measured::new(per_second(latencies.count(), time), latencies, watch, watched)
}

/// Submits to `limit` and asks until the result is there.
async fn asking(running: &Running, until: Instant) -> anyhow::Result<Load> {
    let mut connection = Connection::open(running.address()?).await?;
    let requests = running.single();
    let submit = requests.list.first().context("nothing to ask")?;
    let started = Instant::now();
    let (mut accepted, mut latencies) = (0, Latencies::default());
    while Instant::now() < until {
        let asked = Instant::now();
        let answer = connection.ask(submit).await?;
        ensure!(answer.status == 202, "answered {}", answer.status);
        let document: serde_json::Value = serde_json::from_slice(answer.body)?;
        let id = document.get("id").and_then(serde_json::Value::as_str).context("no id")?;
        let show = get(&format!("/tasks/{id}"));
        while !connection.ask(&show).await?.body.starts_with(br#"{"state":2"#) {}
        accepted += 1;
        latencies.add(asked.elapsed());
    }
    Ok(Load { started, elapsed: started.elapsed(), accepted, refused: 0, latencies })
}
