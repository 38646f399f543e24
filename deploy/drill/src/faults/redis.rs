//! Redis in every bad shape, one after the other: nothing but slower reads may come of it.

use futures::FutureExt as _;

use super::{
    SOON,
    counters::{DEAD, REDIS_FAILED, RESCUED},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::{Server, until},
};

/// How Redis is made to answer with an error, and which, and how that is undone.
struct Shape {
    name: &'static str,
    make: &'static [&'static str],
    answers: &'static str,
    undo: &'static [&'static str],
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "full",
        make: &["config", "set", "maxmemory", "1"],
        answers: "OOM",
        undo: &["config", "set", "maxmemory", "0"],
    },
    Shape {
        name: "read-only",
        make: &["replicaof", "127.0.0.1", "1"],
        answers: "READONLY",
        undo: &["replicaof", "no", "one"],
    },
    Shape {
        name: "locked", // its user may do nothing but what this drill needs
        make: &["acl", "setuser", "default", "-@all", "+info", "+acl"],
        answers: "NOPERM",
        undo: &["acl", "setuser", "default", "+@all"],
    },
];

pub(crate) fn faults() -> Vec<Fault> {
    vec![Fault {
        rises: &[REDIS_FAILED],
        stays: &[RESCUED, DEAD],
        ..usual("F37", "Redis flushed, frozen, full, read-only, locked, killed", |drill| all(drill).boxed_local())
    }]
}

/// Each shape lasts until the programs have met it.
async fn all(drill: &Drill) -> anyhow::Result<Hit> {
    let stack = &drill.world.stack;
    let flushed = flush(drill).await?;
    let before = drill.world.counter(REDIS_FAILED).await;
    stack.freeze("redis");
    drill.rises(REDIS_FAILED, before, "frozen").await?;
    stack.thaw("redis");
    let mut refused = 0;
    for shape in &SHAPES {
        refused += meet(drill, shape).await?;
    }
    let before = drill.world.counter(REDIS_FAILED).await;
    stack.kill("redis").await;
    drill.rises(REDIS_FAILED, before, "killed").await?;
    drill.world.start_server(Server::Redis).await?;
    Ok(Hit::new(2 + SHAPES.len() + 1, format!("shapes met: {flushed} copies flushed, {refused} errors answered")))
}

/// How many copies were lost.
async fn flush(drill: &Drill) -> anyhow::Result<u64> {
    let stack = &drill.world.stack;
    let kept = until(SOON, "copies lie in Redis", async || {
        let kept: u64 = stack.redis_cli(&["dbsize"]).await.trim().parse()?;
        Ok((kept > 0).then_some(kept))
    });
    let kept = kept.await?;
    stack.flush_redis().await;
    Ok(kept)
}

/// How many errors Redis answered with meanwhile.
async fn meet(drill: &Drill, shape: &Shape) -> anyhow::Result<u64> {
    let stack = &drill.world.stack;
    let before = errors(&stack.redis_cli(&["info", "errorstats"]).await, shape.answers);
    stack.redis_cli(shape.make).await;
    drill.world.nodes().for_each(|node| node.redis.reset()); // a standing connection keeps what it was allowed
    let wanted = format!("a program meets a Redis that is {}", shape.name);
    let met = until(SOON, &wanted, async || {
        let said = stack.redis_cli(&["info", "errorstats"]).await;
        let met = errors(&said, shape.answers).saturating_sub(before);
        Ok((met > 0).then_some(met))
    })
    .await;
    stack.redis_cli(shape.undo).await;
    met
}

/// Out of lines such as `errorstat_OOM:count=3`.
fn errors(told: &str, error: &str) -> u64 {
    let wanted = format!("errorstat_{error}:count=");
    told.lines().find_map(|line| line.trim().strip_prefix(&wanted)?.parse().ok()).unwrap_or(0)
}
