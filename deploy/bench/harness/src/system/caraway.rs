//! Caraway, as `deploy/dev up` starts it.

use anyhow::{Context as _, ensure};

use super::{Slots, System};
use crate::{
    http::{Connection, get, post_json},
    load::Requests,
    program::{Launch, Program},
    site::{Servers, Site},
};

pub(super) const ECHO: &str = r#"{"name":"echo","args":[{"n":1}]}"#;
/// The worker counts attempts, and in a benchmark each task has one.
const ENDED: &str = "caraway_attempts_ended_total{state=\"succeeded\"} ";

pub(super) fn api(servers: &Servers, site: &Site, system: System) -> anyhow::Result<Program> {
    let launch = launch(servers, site, system, "api")?;
    let bind = launch.address.to_string();
    launch.arguments(&["serve", "--bind", &bind]).spawn(site.folder())
}

pub(super) fn worker(
    servers: &Servers,
    site: &Site,
    system: System,
    number: usize,
    slots: Slots,
) -> anyhow::Result<Program> {
    let launch = launch(servers, site, system, "worker")?;
    let bind = launch.address.to_string();
    let slot = site.folder().join(format!("{}-{number}.slot", site.database)).display().to_string();
    let launch = launch.arguments(&["--demo-tasks", "--bind", &bind, "--slot-file", &slot]);
    let launch = if system == System::CarawayHandOver { launch.variable("CARAWAY_HAND_OVER", "true") } else { launch };
    let launch = match slots {
        Slots::Many => launch.arguments(&["--queue", "default=1000", "--queue", "images=4"]),
        Slots::Concurrency(slots) => launch.arguments(&["--concurrency", &slots.to_string()]),
    };
    launch.spawn(site.folder())
}

fn launch(servers: &Servers, site: &Site, system: System, binary: &str) -> anyhow::Result<Launch> {
    let before = servers.paths.before.as_ref().filter(|_| system == System::CarawayBefore);
    let programs = before.unwrap_or(&servers.paths.target);
    Ok(Launch::new(binary, &programs.join(binary))?
        .variable("CARAWAY_POSTGRES_URL", &site.postgres_url)
        .variable("CARAWAY_AMQP_URL", &site.amqp_url)
        .variable("CARAWAY_REDIS_URL", &site.redis_url))
}

/// A request for the tasks of this list's inside.
pub(crate) fn batch(tasks: &str) -> Requests {
    Requests::one(post_json("/v1/tasks/batch", &format!("{{\"tasks\":[{tasks}]}}")), 200)
}

/// From the workers' own counters: the database does not notice.
pub(super) async fn done(workers: &[Program]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for worker in workers {
        let mut connection = Connection::open(worker.address).await?;
        let answer = connection.ask(&get("/metrics")).await?;
        ensure!(answer.status == 200, "the worker's metrics: {}", answer.status);
        let text = answer.text();
        let count = text.lines().find_map(|line| line.strip_prefix(ENDED));
        sum += count.map_or(Ok(0), str::parse::<u64>).context("the worker's counter")?;
    }
    Ok(sum)
}

pub(super) async fn count(site: &Site) -> anyhow::Result<u64> {
    let sql = "SELECT count(*) FILTER (WHERE state = 'succeeded'), count(*) FROM task WHERE name <> 'filler'";
    let row = site.client.query_one(sql, &[]).await?;
    let (succeeded, all): (i64, i64) = (row.get(0), row.get(1));
    ensure!(succeeded == all, "{} tasks have not succeeded", all - succeeded);
    Ok(u64::try_from(succeeded)?)
}
