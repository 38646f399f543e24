//! What kills an API, or takes the answer of its commit away.

use std::time::Duration;

use caraway_testkit::{Proxy, Trap};
use futures::FutureExt as _;
use tokio::time::sleep;

use super::{counters::RELAYED, crash::crash_at};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    rows,
};

/// The crash points of the way in, in order (A1 to A9 of the crash table).
const POINTS: [&str; 9] = [
    "api.accept.received",
    "accept_guarded.writing",
    "accept_guarded.written",
    "accept.written",
    "api.accept.committed",
    "api.accept.announced",
    "publisher.sent",
    "publisher.confirmed",
    "publisher.marked",
];
const KILLS: usize = 8;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            rises: &[RELAYED],
            ..usual("F1", "API killed at each crash point A1-A9", |drill| crash(drill).boxed_local())
        },
        usual("F2", "API killed -9 under load, 8 times", |drill| kill(drill).boxed_local()),
        usual("F3", "answer of an accept's COMMIT lost", |drill| lose_answer(drill).boxed_local()),
    ]
}

async fn crash(drill: &Drill) -> anyhow::Result<Hit> {
    for (index, point) in POINTS.into_iter().enumerate() {
        let api = &drill.world.apis[index % drill.world.apis.len()];
        crash_at(drill, api, point).await?;
        api.restart().await;
    }
    Ok(Hit::new(POINTS.len(), "crash points"))
}

/// Whether one of them leaves anything to a relay is left to chance; F1 leaves nothing to it.
async fn kill(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.refused().await;
    for _ in 0..KILLS {
        let api = &drill.world.apis[drill.below(drill.world.apis.len()).await];
        api.kill().await;
        sleep(Duration::from_millis(100 + 10 * u64::try_from(drill.below(40).await)?)).await;
        api.restart().await;
    }
    let unanswered = drill.refused().await - before;
    Ok(Hit::new(unanswered, format!("requests that got no answer, {KILLS} kills")))
}

/// Three times in each API: the row is there, and nobody was told.
async fn lose_answer(drill: &Drill) -> anyhow::Result<Hit> {
    let ways: Vec<&Proxy> = drill.world.apis.iter().map(|api| &api.postgres).collect();
    for round in 1..=3 {
        for way in &ways {
            way.arm(Trap::AfterCommit(rows::ACCEPTS));
        }
        drill.fired(&ways, round * 2).await?;
    }
    Ok(Hit::new(drill.fired(&ways, 6).await?, "commits whose answer was lost"))
}
