//! The bare pipeline, `deploy/bench/limit`.

use crate::{
    program::{Launch, Program},
    site::{Servers, Site},
};

/// One worker takes one queue in order, so once the newest tasks are done, all are; the count at the end makes sure.
const NEWEST: &str = "SELECT coalesce(bool_and(state = 2), true) AND count(*) > 0 \
    FROM (SELECT state FROM limit_tasks ORDER BY id DESC LIMIT 1000) newest";
/// Each takes about a second, the time that rabbitmqctl needs.
const TRIES: u32 = 20;
const COUNT: &str = "SELECT count(*) FROM limit_tasks WHERE state = 2";

pub(super) fn program(servers: &Servers, site: &Site, role: &str) -> anyhow::Result<Program> {
    let launch = Launch::new(role, &servers.paths.limit)?;
    let bind = launch.address.to_string();
    launch
        .arguments(&[role])
        .variable("CARAWAY_POSTGRES_URL", &site.postgres_url)
        .variable("CARAWAY_AMQP_URL", &site.amqp_url)
        .variable("LIMIT_BIND", &bind)
        .spawn(site.folder())
}

/// Its API makes the queue anew some time after it listens, and a worker that was quicker would lose its consumer.
pub(super) async fn queue_made(servers: &Servers, site: &Site) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        if servers.rabbitmqctl(&["list_queues", "-q", "-p", &site.database, "name"]).await?.contains("limit.") {
            return Ok(());
        }
    }
    anyhow::bail!("it makes no queue")
}

/// All of `submitted`, or none, because the number between is dear to know.
pub(super) async fn done(site: &Site, submitted: u64) -> anyhow::Result<u64> {
    if !site.client.query_one(NEWEST, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let found = u64::try_from(site.client.query_one(COUNT, &[]).await?.get::<_, i64>(0))?;
    Ok(if found >= submitted { submitted } else { found })
}

pub(super) async fn count(site: &Site) -> anyhow::Result<u64> {
    Ok(u64::try_from(site.client.query_one(COUNT, &[]).await?.get::<_, i64>(0))?)
}
