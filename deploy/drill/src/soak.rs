//! F55: random soup. Up to three faults at a time, chosen by the seed, for minutes; then everything is healed, comes to
//! rest, and is checked. One API and one worker are never killed, so that a leak would show in their memory.

use std::{cell::RefCell, collections::HashSet, sync::Arc, time::Duration};

use caraway_testkit::{Slowness, Stack, Way};
use futures::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    check::Invariant,
    clock::now_ms,
    drill::{self, Drill, Options},
    fault::{Fault, Hit, usual},
    outcome::Outcome,
    tasks::Mix,
    world::{Node, Server, World},
};

const AT_A_TIME: usize = 3;
const SNAPSHOT_EVERY: Duration = Duration::from_mins(1);
/// Memory is first weighed after so much of the time: five minutes of twenty.
const WEIGHED_AFTER: u32 = 4;
/// Parts in a hundred by which memory may have grown from then to the end.
const GROWTH_MAX: u64 = 20;
const QUIESCE: Duration = Duration::from_mins(5);

/// One thing that goes wrong for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ill {
    Kill,
    Freeze,
    Cut(Server),
    Stall(Server),
    Deaf(Server),
    Slow(Server),
    Reset(Server),
    KillServer(Server),
    FreezeServer(Server),
    Purge,
    FlushRedis,
}

const SERVERS: [Server; 3] = [Server::Postgres, Server::Rabbitmq, Server::Redis];

/// Runs it for that long.
pub(crate) async fn run(stack: &Arc<Stack>, seed: u64, lasts: Duration) -> Outcome {
    let fault = Fault {
        mix: Mix::Brief,
        rate: 40,
        within: Duration::from_mins(1),
        rises: &["caraway_rescued_total", "caraway_relay_published_total", "caraway_batch_repeats_total"],
        stays: &["caraway_unique_orphans_total"],
        ..usual("F55", "random soup", |drill| soup(drill).boxed_local())
    };
    let options = Options { lasts, quiesce: QUIESCE, ..Options::seeded(seed) };
    drill::run(&fault, stack, &options).await
}

async fn soup(drill: &Drill) -> anyhow::Result<Hit> {
    let mut random = StdRng::seed_from_u64(drill.seed);
    let busy = RefCell::new(HashSet::new());
    let (began, mut weighed, mut snapshot) = (Instant::now(), None, Instant::now());
    let mut under_way: FuturesUnordered<LocalBoxFuture<'_, anyhow::Result<()>>> = FuturesUnordered::new();
    let mut count = 0_u64;
    while began.elapsed() < drill.lasts {
        if under_way.len() < AT_A_TIME
            && let Some(ill) = choose(drill, &mut random, &busy)
        {
            count += 1;
            under_way.push(ill);
        }
        let pause = Duration::from_millis(random.random_range(500..3000));
        let done = timeout(pause, async {
            while let Some(done) = under_way.next().await {
                done?;
            }
            sleep(pause).await;
            anyhow::Ok(())
        })
        .await;
        done.unwrap_or(Ok(()))?;
        if weighed.is_none() && began.elapsed() > drill.lasts / WEIGHED_AFTER {
            weighed = Some(weigh(&drill.world).await);
        }
        if snapshot.elapsed() > SNAPSHOT_EVERY {
            snapshot = Instant::now();
            let _ = timeout(Duration::from_secs(10), drill.snapshot()).await;
        }
    }
    while let Some(done) = under_way.next().await {
        done?;
    }
    drill.world.heal().await;
    compare(drill, &weighed.unwrap_or_default()).await;
    Ok(Hit::new(count, format!("faults in {} s", drill.lasts.as_secs())))
}

/// Resident memory of the processes that are never killed, KiB.
async fn weigh(world: &World) -> Vec<(String, u64)> {
    let steady = [world.apis.last(), world.workers.last()].map(|node| node.map(|node| node.name.clone()));
    let memory = world.memory().await;
    memory.into_iter().filter(|(name, _)| steady.contains(&Some(name.clone()))).collect()
}

async fn compare(drill: &Drill, before: &[(String, u64)]) {
    for ((name, after), (_, before)) in weigh(&drill.world).await.iter().zip(before) {
        let text = format!("{name}: {before} KiB resident after a quarter of the time, {after} KiB at the end");
        drill.note(text.clone()).await;
        if *after * 100 > before * (100 + GROWTH_MAX) {
            drill.blame(Invariant::Memory, text).await;
        }
    }
}

/// Something that is not under way, on something that is well.
fn choose<'a>(
    drill: &'a Drill,
    random: &mut StdRng,
    busy: &'a RefCell<HashSet<String>>,
) -> Option<LocalBoxFuture<'a, anyhow::Result<()>>> {
    let server = *SERVERS.choose(random)?;
    let nodes: Vec<&Arc<Node>> = drill.world.apis.iter().chain(&drill.world.workers).collect();
    let node = *nodes.choose(random)?;
    let ill = match random.random_range(0..100) {
        0..22 => Ill::Kill,
        22..34 => Ill::Freeze,
        34..44 => Ill::Cut(server),
        44..54 => Ill::Stall(server),
        54..62 => Ill::Deaf(server),
        62..74 => Ill::Slow(server),
        74..80 => Ill::Reset(server),
        80..88 => Ill::KillServer(server),
        88..94 => Ill::FreezeServer(server),
        94..97 => Ill::Purge,
        _ => Ill::FlushRedis,
    };
    let steady = [drill.world.apis.last(), drill.world.workers.last()];
    let kills = ill == Ill::Kill;
    if kills && steady.iter().flatten().any(|steady| steady.name == node.name) {
        return None;
    }
    let whom = match ill {
        Ill::KillServer(server) | Ill::FreezeServer(server) => server.name().to_owned(),
        Ill::Purge => Server::Rabbitmq.name().into(),
        Ill::FlushRedis => Server::Redis.name().into(),
        _ => node.name.clone(),
    };
    if !busy.borrow_mut().insert(whom.clone()) {
        return None;
    }
    let lasts = Duration::from_millis(random.random_range(500..12_000));
    Some(
        async move {
            let began = now_ms();
            let done = suffer(drill, node, ill, lasts).await;
            drill.mark(format!("{ill:?} {whom}"), began).await;
            busy.borrow_mut().remove(&whom);
            done
        }
        .boxed_local(),
    )
}

async fn suffer(drill: &Drill, node: &Node, ill: Ill, lasts: Duration) -> anyhow::Result<()> {
    let world = &drill.world;
    match ill {
        Ill::Kill => {
            node.kill().await;
            sleep(lasts).await;
            node.respawn().await;
        }
        Ill::Freeze => {
            node.freeze().await;
            sleep(lasts * 3).await; // some longer than a lease
            node.program.lock().await.thaw_if_alive();
        }
        Ill::Cut(server) => sick(node, server, Way::Cut, lasts).await,
        Ill::Stall(server) => sick(node, server, Way::Stalled, lasts).await,
        Ill::Deaf(server) => sick(node, server, Way::Deaf, lasts).await,
        Ill::Slow(server) => {
            let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(200));
            sick(node, server, Way::Slow(Slowness { delay, jitter, ..Slowness::default() }), lasts).await;
        }
        Ill::Reset(server) => node.way(server).reset(),
        Ill::KillServer(server) => {
            world.stack.kill(server.name()).await;
            sleep(lasts / 3).await;
            world.start_server(server).await?;
        }
        Ill::FreezeServer(server) => {
            world.stack.freeze(server.name());
            sleep(lasts).await;
            world.stack.thaw(server.name());
        }
        Ill::Purge => drop(world.broker().await.purge(world.place.queue()).await),
        Ill::FlushRedis => world.stack.flush_redis().await,
    }
    Ok(())
}

async fn sick(node: &Node, server: Server, way: Way, lasts: Duration) {
    node.way(server).set(way);
    sleep(lasts).await;
    node.way(server).set(Way::Open);
}
