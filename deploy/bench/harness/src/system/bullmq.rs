//! BullMQ on Redis: behind Fastify, or with the producer in the program that asks. `deploy/bench/peers/bullmq`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use deadpool_redis::redis;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
};

use crate::{
    numbers::Latencies,
    program::{Launch, Program},
    site::{Servers, Site, redis_connection},
};

const QUEUE: &str = "bull:bench:completed";

pub(super) fn api(servers: &Servers, site: &Site) -> anyhow::Result<Program> {
    let launch = launch(servers, site, "api", "server.js")?;
    let port = launch.address.port().to_string();
    launch.arguments(&[&port]).spawn(site.folder())
}

pub(super) fn worker(servers: &Servers, site: &Site) -> anyhow::Result<Program> {
    launch(servers, site, "worker", "worker.js")?.spawn(site.folder())
}

/// Scripts lie beside their packages, because Node looks there.
fn launch(servers: &Servers, site: &Site, name: &str, script: &str) -> anyhow::Result<Launch> {
    let folder = Path::new(&servers.paths.node);
    Ok(Launch::new(name, &PathBuf::from("node"))?
        .in_folder(folder)
        .arguments(&[script])
        .variable("NODE_ENV", "production")
        .variable("BENCH_REDIS", &site.redis_url))
}

pub(super) async fn done(site: &Site) -> anyhow::Result<u64> {
    Ok(redis::cmd("ZCARD").arg(QUEUE).query_async(&mut redis_connection(&site.redis_url, 0).await?).await?)
}

/// A program that adds jobs itself.
pub(crate) struct Producer {
    pub(crate) program: Program,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Produced {
    latencies_us: Vec<u64>,
}

/// What the producer does.
#[derive(Clone, Copy)]
pub(crate) enum Job {
    /// `add`, so many at once.
    Add(usize),
    /// `add` and `waitUntilFinished`, one after the other.
    AddAndWait,
}

impl Producer {
    pub(crate) async fn start(servers: &Servers, site: &Site) -> anyhow::Result<Self> {
        let (program, input, output) =
            launch(servers, site, "producer", "producer.js")?.spawn_talking(site.folder())?;
        let mut producer = Self { program, input, output: BufReader::new(output).lines() };
        ensure!(producer.line().await? == "ready", "the producer did not start");
        Ok(producer)
    }

    /// Adds jobs for a while; when it began, and how long each took.
    pub(crate) async fn run(&mut self, job: Job, time: Duration) -> anyhow::Result<(Instant, u64, Latencies)> {
        let order = match job {
            Job::Add(at_once) => format!("add {at_once} {}\n", time.as_millis()),
            Job::AddAndWait => format!("wait 1 {}\n", time.as_millis()),
        };
        let started = Instant::now();
        self.input.write_all(order.as_bytes()).await?;
        let produced: Produced = serde_json::from_str(&self.line().await?)?;
        let count = u64::try_from(produced.latencies_us.len())?;
        Ok((started, count, produced.latencies_us.into_iter().map(Duration::from_micros).collect()))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        self.output.next_line().await?.context("the producer ended")
    }
}
