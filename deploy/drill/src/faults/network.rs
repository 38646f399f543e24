//! Ways that are slow, crumble, or pass requests and no answers: each kind of way in turn.

use std::time::Duration;

use caraway_testkit::{Slowness, Way};
use futures::FutureExt as _;
use tokio::time::sleep;

use super::counters::DEAD;
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::Server,
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
        Fault { stays: &[DEAD], ..usual("F46", "requests pass, answers do not", |drill| deaf(drill).boxed_local()) },
    ]
}

async fn slow(drill: &Drill) -> anyhow::Result<Hit> {
    let late =
        Slowness { delay: Duration::from_millis(200), jitter: Duration::from_millis(100), ..Slowness::default() };
    let crumbs = Slowness { slice: 1, ..Slowness::default() };
    let narrow = Slowness { bytes_per_second: 8_000, ..Slowness::default() };
    let mut finished = 0;
    for slowness in [late, crumbs, narrow] {
        for server in SERVERS {
            let before = drill.world.rows.counts().await?.finished;
            drill.world.nodes().for_each(|node| node.way(server).set(Way::Slow(slowness)));
            sleep(EACH).await;
            drill.world.nodes().for_each(|node| node.way(server).set(Way::Open));
            finished += drill.world.rows.counts().await?.finished - before;
        }
    }
    Ok(Hit::new(finished, "tasks ended meanwhile"))
}

/// One process at a time, so that others see its silence.
async fn deaf(drill: &Drill) -> anyhow::Result<Hit> {
    let mut hits = 0;
    for server in SERVERS {
        for node in [&drill.world.apis[0], &drill.world.workers[0]] {
            node.way(server).set(Way::Deaf);
            sleep(EACH).await;
            node.way(server).reset();
            node.way(server).set(Way::Open);
            hits += 1;
        }
    }
    Ok(Hit::new(hits, "ways that were deaf"))
}
