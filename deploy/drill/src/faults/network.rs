//! Ways that are slow, crumble, or pass requests and no answers: each kind of way in turn.

use std::time::Duration;

use anyhow::ensure;
use caraway_testkit::{Slowness, Way};
use futures::FutureExt as _;
use tokio::time::sleep;

use super::counters::{DEAD, RECONNECTS, REDIS_FAILED, REPEATS};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::{Node, Server},
};

const SERVERS: [Server; 3] = [Server::Postgres, Server::Rabbitmq, Server::Redis];
const EACH: Duration = Duration::from_secs(6);

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            rate: 30,
            stays: &[DEAD],
            ..usual("F45", "ways slow, in single bytes, at 64 kbit/s", |drill| slow(drill).boxed_local())
        },
        Fault {
            rises: &[REPEATS, RECONNECTS, REDIS_FAILED],
            stays: &[DEAD],
            ..usual("F46", "requests pass, answers do not", |drill| deaf(drill).boxed_local())
        },
    ]
}

async fn slow(drill: &Drill) -> anyhow::Result<Hit> {
    let late =
        Slowness { delay: Duration::from_millis(200), jitter: Duration::from_millis(100), ..Slowness::default() };
    let crumbs = Slowness { slice: 1, ..Slowness::default() };
    let narrow = Slowness { bytes_per_second: 8_000, ..Slowness::default() };
    let world = &drill.world;
    let (mut pieces, mut finished) = (0, 0);
    for (name, slowness) in [("late", late), ("in single bytes", crumbs), ("narrow", narrow)] {
        for server in SERVERS {
            let hindered = || world.nodes().map(|node| node.way(server).hindered()).sum::<u64>();
            let before = (hindered(), world.rows.counts().await?.finished);
            world.nodes().for_each(|node| node.way(server).set(Way::Slow(slowness)));
            sleep(EACH).await;
            world.nodes().for_each(|node| node.way(server).set(Way::Open));
            let slowed = hindered() - before.0;
            ensure!(slowed > 0, "nothing went the ways to {} while they were {name}", server.name());
            pieces += slowed;
            finished += world.rows.counts().await?.finished - before.1;
        }
    }
    Ok(Hit::new(pieces, format!("pieces slowed down; {finished} tasks ended meanwhile")))
}

/// One process at a time, so that others see its silence; of the workers one that has work, for one without asks nothing that
/// it would have to ask again.
async fn deaf(drill: &Drill) -> anyhow::Result<Hit> {
    let mut pieces = 0;
    for server in SERVERS {
        pieces += deafen(&drill.world.apis[0], server).await?;
        let (worker, _) = drill.world.busiest().await?;
        pieces += deafen(&worker, server).await?;
    }
    Ok(Hit::new(pieces, "answers withheld, on 6 ways"))
}

/// How many answers were kept from it.
async fn deafen(node: &Node, server: Server) -> anyhow::Result<u64> {
    let way = node.way(server);
    let before = way.hindered();
    way.set(Way::Deaf);
    sleep(EACH).await;
    let withheld = way.hindered() - before;
    way.reset();
    way.set(Way::Open);
    ensure!(withheld > 0, "{} asked {} nothing while it was deaf", node.name, server.name());
    Ok(withheld)
}
