//! Celery over RabbitMQ with results in Redis, behind `FastAPI` and uvicorn: `deploy/bench/peers/celery`.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use deadpool_redis::redis;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::ChildStdout,
};

use super::System;
use crate::{
    numbers::Latencies,
    program::{Launch, Program},
    site::{Servers, Site, redis_connection},
};

/// Redis database of the results, and of nothing else: their number is what it costs least to ask Redis for.
const RESULTS: u8 = 1;

pub(super) fn api(servers: &Servers, site: &Site, system: System) -> anyhow::Result<Program> {
    let launch = launch(servers, site, system, "api", "uvicorn")?;
    let port = launch.address.port().to_string();
    launch
        .arguments(&["web:api", "--host", "127.0.0.1", "--port", &port, "--no-access-log", "--log-level", "warning"])
        .spawn(site.folder())
}

/// As many processes as there are cores, which is Celery's default.
pub(super) fn worker(servers: &Servers, site: &Site, system: System) -> anyhow::Result<Program> {
    launch(servers, site, system, "worker", "celery")?
        .arguments(&["-A", "tasks", "worker", "--loglevel", "WARNING"])
        .spawn(site.folder())
}

fn launch(servers: &Servers, site: &Site, system: System, name: &str, program: &str) -> anyhow::Result<Launch> {
    let binary = Path::new(&servers.paths.python).join("bin").join(program);
    Ok(Launch::new(name, &binary)?
        .in_folder(&servers.paths.root.join("deploy/bench/peers/celery"))
        .variable("PYTHONDONTWRITEBYTECODE", "1")
        .variable("BENCH_BROKER", &site.amqp_url)
        .variable("BENCH_RESULTS", &format!("{}/{RESULTS}", site.redis_url))
        .variable("BENCH_SAFE", if system == System::CelerySafe { "1" } else { "0" }))
}

pub(super) async fn done(site: &Site) -> anyhow::Result<u64> {
    Ok(redis::cmd("DBSIZE").query_async(&mut redis_connection(&site.redis_url, RESULTS).await?).await?)
}

/// Results that say SUCCESS.
pub(super) async fn count(site: &Site) -> anyhow::Result<u64> {
    let mut redis = redis_connection(&site.redis_url, RESULTS).await?;
    let (mut cursor, mut found) = (0_u64, 0);
    loop {
        let (next, keys): (u64, Vec<String>) =
            redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(1000).query_async(&mut redis).await?;
        if !keys.is_empty() {
            let results: Vec<String> = redis::cmd("MGET").arg(&keys).query_async(&mut redis).await?;
            let succeeded = results.iter().filter(|result| result.contains("\"status\": \"SUCCESS\"")).count();
            found += u64::try_from(succeeded)?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(found);
        }
    }
}

#[derive(Deserialize)]
struct Executed {
    executed: u64,
    latencies_us: Vec<u64>,
}

/// A program that calls tasks itself: `.delay(…).get()`, one after the other.
pub(crate) struct Caller {
    pub(crate) program: Program,
    output: Lines<BufReader<ChildStdout>>,
}

impl Caller {
    /// It begins at once.
    pub(crate) fn start(servers: &Servers, site: &Site, system: System, time: Duration) -> anyhow::Result<Self> {
        let launch = launch(servers, site, system, "caller", "python")?;
        let seconds = time.as_secs().to_string();
        let (program, _, output) = launch.arguments(&["sequential.py", &seconds]).spawn_talking(site.folder())?;
        Ok(Self { program, output: BufReader::new(output).lines() })
    }

    /// How many there were, and how long each took that counts.
    pub(crate) async fn finish(mut self) -> anyhow::Result<(u64, Latencies)> {
        let line = self.output.next_line().await?.context("the caller said nothing")?;
        let done: Executed = serde_json::from_str(&line)?;
        Ok((done.executed, done.latencies_us.into_iter().map(Duration::from_micros).collect()))
    }
}
