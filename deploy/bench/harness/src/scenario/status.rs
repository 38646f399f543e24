//! `status`: GET of finished tasks by id over 64 connections. `hot`: a thousand of them, again and again, after a first
//! reading. `cold`: many, each once, with Redis emptied. Beside them a bare actix server that answers as many bytes.

use std::time::Duration;

use anyhow::Context as _;
use deadpool_redis::redis;

use crate::{
    http::{Connection, get},
    load::{Requests, Until, closed},
    numbers::per_second,
    program::Launch,
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    site::redis_connection,
    system::{Running, Setup, System},
};

pub(super) const CONNECTIONS: usize = 64;
const HOT: usize = 1_000;
pub(super) const COLD: usize = 100_000;
const BATCH: usize = 1_000;

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    for parameter in bench.run.parameters(&["hot", "cold"]) {
        let beside: &[System] =
            if parameter == "hot" { &[System::Caraway, System::Limit, System::Echo] } else { &[System::Caraway] };
        let entries = bench.entries(&[parameter], beside);
        rows.extend(bench.alternate("status", &entries, async |entry| measure(bench, entry).await).await);
    }
    rows
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    if entry.system == System::Echo {
        return echo(bench).await;
    }
    let mut running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    let cold = entry.parameter == "cold";
    let paths = finished(&mut running, if cold { COLD } else { HOT }).await?;
    let measured = read(bench, &running, &paths, cold).await?;
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}

/// Reads these: each once, or all again and again.
pub(super) async fn read(bench: &Bench, running: &Running, paths: &[String], cold: bool) -> anyhow::Result<Measured> {
    let requests = Requests { list: paths.iter().map(|path| get(path)).collect(), wanted: 200 };
    let (address, time) = (running.address()?, bench.run.seconds());
    let until = if cold {
        // Redis may keep nothing of them; the tables are in the servers' memory all the same
        let mut redis = redis_connection(&running.site.redis_url, 0).await?;
        let _: String = redis::cmd("FLUSHALL").query_async(&mut redis).await?;
        Until::Asked(paths.len(), time)
    } else {
        closed(address, CONNECTIONS, &requests, Until::Asked(paths.len() * 5, Duration::from_secs(10))).await?;
        Until::Elapsed(time)
    };
    let watched = running.watched(&bench.servers)?;
    let watch = watched.begin()?;
    let load = closed(address, CONNECTIONS, &requests, until).await?;
    Measured::new(per_second(load.accepted, load.elapsed), load.latencies, &watch, &watched)
}

/// Paths of so many finished tasks.
pub(super) async fn finished(running: &mut Running, count: usize) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(running.address()?).await?;
    let requests = running.bulk(BATCH);
    let request = requests.list.first().context("nothing to ask")?;
    let mut paths = Vec::with_capacity(count);
    while paths.len() < count {
        let answer = connection.ask(request).await?;
        let document: serde_json::Value = serde_json::from_slice(answer.body).context("the answer to a batch")?;
        let (list, prefix) = match document.get("tasks") {
            Some(tasks) => (tasks, "/v1/tasks"),
            None => (&document, "/tasks"),
        };
        for entry in list.as_array().context("no list")? {
            let id = entry.pointer("/task/id").unwrap_or(entry).as_str().context("no id")?;
            paths.push(format!("{prefix}/{id}"));
        }
        running.submitted += u64::try_from(BATCH)?;
    }
    running.drained().await?;
    Ok(paths)
}

async fn echo(bench: &Bench) -> anyhow::Result<Measured> {
    let bytes = document_bytes(bench).await?.to_string();
    let launch = Launch::new("api", &std::env::current_exe()?)?;
    let bind = launch.address.to_string();
    let folder = bench.servers.paths.state.join("log");
    let mut program = launch.arguments(&["echo", "--bind", &bind, "--bytes", &bytes]).spawn(&folder)?;
    program.listening().await?;
    let requests = Requests::one(get("/"), 200);
    let watched = bench.servers.watched()?.with("api", program.id().context("it has ended")?);
    closed(program.address, CONNECTIONS, &requests, Until::Elapsed(Duration::from_secs(1))).await?;
    let watch = watched.begin()?;
    let load = closed(program.address, CONNECTIONS, &requests, Until::Elapsed(bench.run.seconds())).await?;
    let measured = Measured::new(per_second(load.accepted, load.elapsed), load.latencies, &watch, &watched)?;
    program.stop().await?;
    Ok(measured)
}

/// How long the document of a finished no-op task is.
async fn document_bytes(bench: &Bench) -> anyhow::Result<usize> {
    let mut running = Running::start(&bench.servers, System::Caraway, Setup::default()).await?;
    let paths = finished(&mut running, 1).await?;
    let mut connection = Connection::open(running.address()?).await?;
    let answer = connection.ask(&get(paths.first().context("no task")?)).await?;
    let bytes = answer.body.len();
    running.stop().await?;
    Ok(bytes)
}
