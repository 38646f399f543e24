//! Redis in every bad shape, one after the other: nothing but slower reads may come of it.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::sleep;

use super::counters::{BREAKER, DEAD, RESCUED};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::Server,
};

const EACH: Duration = Duration::from_secs(3);

pub(crate) fn faults() -> Vec<Fault> {
    vec![Fault {
        rises: &[BREAKER],
        stays: &[RESCUED, DEAD],
        ..usual("F37", "Redis flushed, frozen, full, read-only, locked, killed", |drill| all(drill).boxed_local())
    }]
}

async fn all(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.accepted().await;
    let stack = &drill.world.stack;
    stack.flush_redis().await;
    stack.freeze("redis");
    sleep(EACH).await;
    stack.thaw("redis");
    let shapes: [(&[&str], &[&str]); 3] = [
        (&["config", "set", "maxmemory", "1"], &["config", "set", "maxmemory", "0"]),
        (&["replicaof", "127.0.0.1", "1"], &["replicaof", "no", "one"]),
        (
            &["config", "set", "requirepass", "another"],
            &["--no-auth-warning", "-a", "another", "config", "set", "requirepass", ""],
        ),
    ];
    for (bad, good) in shapes {
        stack.redis_cli(bad).await;
        drill.world.nodes().for_each(|node| node.redis.reset()); // a standing connection keeps what it was allowed
        sleep(EACH).await;
        stack.redis_cli(good).await;
    }
    stack.kill("redis").await;
    sleep(EACH).await;
    drill.world.start_server(Server::Redis).await?;
    Ok(Hit::new(drill.accepted().await - before, "tasks accepted meanwhile"))
}
