//! Unique tasks: of each key one runs, and the newest is never lost.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::sleep;

use super::counters::{ORPHANS, UNBLOCKED};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    tasks::Mix,
};

const KILLS: usize = 8;
/// Longer than a guard is waited for before its batch is halved.
const HELD_FOR: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            mix: Mix::Unique,
            rises: &[UNBLOCKED],
            stays: &[ORPHANS],
            within: Duration::from_secs(25), // a killed worker's task holds its key until it is rescued
            ..usual("F80", "unique load while workers and APIs are killed", |drill| kill(drill).boxed_local())
        },
        Fault {
            mix: Mix::Contended,
            rate: 100,
            rises: &[UNBLOCKED],
            stays: &[ORPHANS],
            ..usual("F81", "two APIs contend for the same unique keys", |drill| contend(drill).boxed_local())
        },
    ]
}

async fn kill(drill: &Drill) -> anyhow::Result<Hit> {
    for round in 0..KILLS {
        let nodes = if round % 2 == 0 { &drill.world.workers } else { &drill.world.apis };
        let node = &nodes[drill.below(nodes.len()).await];
        node.kill().await;
        sleep(Duration::from_millis(200 + 10 * u64::try_from(drill.below(60).await)?)).await;
        node.restart().await;
    }
    Ok(Hit::new(KILLS, "kills under unique load"))
}

/// Somebody keeps a key that both want; then one API stands still, perhaps in the middle of a batch, and the other goes on.
async fn contend(drill: &Drill) -> anyhow::Result<Hit> {
    let mut went_on = 0;
    for round in 0..ROUNDS {
        let before = drill.accepted().await;
        let mut holder = drill.world.rows.open().await?;
        let lock = holder.transaction().await?;
        lock.execute("SELECT FROM task_unique ORDER BY hash LIMIT 1 FOR UPDATE", &[]).await?;
        sleep(HELD_FOR).await;
        lock.rollback().await?;
        let held = drill.accepted().await - before;
        anyhow::ensure!(held > 0, "nothing was accepted while one key was held");
        let api = &drill.world.apis[round % drill.world.apis.len()];
        api.freeze().await;
        sleep(HELD_FOR).await;
        api.thaw().await;
        went_on += held;
    }
    Ok(Hit::new(went_on, "tasks were accepted while another held a key"))
}
