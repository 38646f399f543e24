//! PostgreSQL killed, stopped, frozen, out of reach, out of connections.

use std::time::Duration;

use caraway_testkit::Way;
use futures::FutureExt as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::{
    SOON,
    counters::{DEAD, REPEATS},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::{Server, until},
};

const AWAY: Duration = Duration::from_secs(25);
/// A writer gives its commit up after 25 s. The freeze outlasts that also for what began some seconds into it.
const FROZEN: Duration = Duration::from_secs(30);
/// Enough that one of them ends in the freeze and has to be recorded.
const BUSY: i64 = 3;

pub(crate) fn faults() -> Vec<Fault> {
    let away = |id, name, inject| Fault { rises: &[REPEATS], stays: &[DEAD], ..usual(id, name, inject) };
    vec![
        away("F29", "PostgreSQL killed -9 and started", |drill| kill(drill).boxed_local()),
        away("F29b", "PostgreSQL stopped at once (SIGQUIT)", |drill| quit(drill).boxed_local()),
        away("F29c", "one backend killed -9", |drill| backend(drill).boxed_local()),
        away("F30", "PostgreSQL frozen 30 s", |drill| freeze(drill).boxed_local()),
        away("F30b", "PostgreSQL out of reach 25 s, no reset", |drill| black_hole(drill).boxed_local()),
        Fault { stays: &[DEAD], ..usual("F33", "connections exhausted", |drill| exhaust(drill).boxed_local()) },
    ]
}

async fn kill(drill: &Drill) -> anyhow::Result<Hit> {
    let running = drill.world.rows.counts().await?.running;
    drill.world.stack.kill("postgres").await;
    sleep(Duration::from_secs(2)).await;
    drill.world.start_server(Server::Postgres).await?;
    Ok(Hit::new(running, "tasks running"))
}

/// PostgreSQL's immediate shutdown: no checkpoint, recovery at the next start.
async fn quit(drill: &Drill) -> anyhow::Result<Hit> {
    let running = drill.world.rows.counts().await?.running;
    signal(drill.world.stack.pid("postgres"), Signal::QUIT)?;
    sleep(Duration::from_secs(3)).await;
    drill.world.start_server(Server::Postgres).await?;
    Ok(Hit::new(running, "tasks running"))
}

/// The server restarts itself and all other backends.
async fn backend(drill: &Drill) -> anyhow::Result<Hit> {
    let sql = "SELECT max(pid)::int8 FROM pg_stat_activity WHERE application_name = 'caraway worker'
        AND datname = current_database()";
    let pid = drill.world.rows.number(sql, &[]).await?;
    signal(u32::try_from(pid)?, Signal::KILL)?;
    sleep(Duration::from_secs(1)).await;
    // the server ends all others with it and recovers, which takes as long as its disk needs; what is promised counts from then
    let back = async || Ok(drill.world.rows.number("SELECT 1::int8", &[]).await.ok());
    until(SOON, "the database answers again", back).await?;
    Ok(Hit::new(1, "backend killed"))
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or_else(|| anyhow::anyhow!("no process"))?;
    Ok(kill_process(pid, signal)?)
}

async fn freeze(drill: &Drill) -> anyhow::Result<Hit> {
    let busy = async || Ok(Some(drill.world.rows.counts().await?.running).filter(|running| *running >= BUSY));
    let running = until(SOON, "tasks are running", busy).await?;
    drill.world.stack.freeze("postgres");
    sleep(FROZEN).await;
    drill.world.stack.thaw("postgres");
    Ok(Hit::new(running, "tasks running"))
}

async fn black_hole(drill: &Drill) -> anyhow::Result<Hit> {
    let running = drill.world.rows.counts().await?.running;
    drill.world.nodes().for_each(|node| node.postgres.set(Way::Stalled));
    sleep(AWAY).await;
    drill.world.nodes().for_each(|node| node.postgres.reset());
    drill.world.nodes().for_each(|node| node.postgres.set(Way::Open));
    Ok(Hit::new(running, "tasks running"))
}

/// Strangers take every connection that is free, and then all of ours break.
async fn exhaust(drill: &Drill) -> anyhow::Result<Hit> {
    drill.world.nodes().for_each(|node| node.postgres.set(Way::Cut));
    let mut strangers = Vec::new();
    while let Ok(stranger) = drill.world.rows.open().await {
        strangers.push(stranger);
        anyhow::ensure!(strangers.len() < 1000, "connections do not run out");
    }
    let before = drill.refused().await;
    drill.world.nodes().for_each(|node| node.postgres.set(Way::Open));
    sleep(Duration::from_secs(6)).await;
    let refused = drill.refused().await - before;
    Ok(Hit::new(refused, format!("answers that were no 2xx, beside {} connections of strangers", strangers.len())))
}
