//! What goes wrong between a worker's credit and the task that is handed over by it.

use std::time::Duration;

use futures::FutureExt as _;

use super::{
    KILLED_MAX,
    counters::{DEAD, HANDED_OVER, HANDED_OVER_BACK, HANDED_OVER_UNTOLD, RESCUED},
    crash::crash_at,
    fan_out::post_as,
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    history::Kind,
    world::{Node, until},
};

/// The switch.
pub(crate) const HAND_OVER: &str = "CARAWAY_HAND_OVER";
/// Fewer tasks than this on the path that is attacked are no attack.
const HANDED_MIN: u64 = 20;
const FOUND_MIN: u64 = 5;
/// Tasks in one batch: more than all slots, fewer than the credit that is there without the slots.
const OVERDRAWN: usize = 40;
const LONG: Duration = Duration::from_mins(1);

pub(crate) fn faults() -> Vec<Fault> {
    let on = |fault: Fault| Fault { variable: Some((HAND_OVER, "true")), ..fault };
    vec![
        on(Fault {
            rises: &[HANDED_OVER],
            stays: &[RESCUED, DEAD],
            ..usual("F85", "half of the credit is lost", |drill| credit_lost(drill).boxed_local())
        }),
        on(Fault {
            rises: &[HANDED_OVER, HANDED_OVER_UNTOLD],
            stays: &[RESCUED, DEAD],
            ..usual("F86", "half of the hand-overs are not told", |drill| untold(drill).boxed_local())
        }),
        on(Fault {
            rises: &[HANDED_OVER, RESCUED, DEAD],
            within: KILLED_MAX,
            ..usual("F87", "a session dies between credit and accept", |drill| dead(drill).boxed_local())
        }),
        on(Fault {
            rises: &[HANDED_OVER],
            stays: &[RESCUED, DEAD],
            ..usual("F88", "workers drain while tasks are handed over", |drill| drain(drill).boxed_local())
        }),
        on(Fault {
            rises: &[HANDED_OVER, HANDED_OVER_BACK],
            stays: &[RESCUED, DEAD],
            ..usual("F89", "more credit than slots", |drill| overdrawn(drill).boxed_local())
        }),
        on(Fault {
            rises: &[HANDED_OVER, HANDED_OVER_UNTOLD],
            stays: &[RESCUED, DEAD],
            ..usual("F90", "an API dies before it tells of a hand-over", |drill| api_dies(drill).boxed_local())
        }),
    ]
}

/// Starts these again with that fail point.
async fn with_point(nodes: &[std::sync::Arc<Node>], point: Option<&str>) {
    for node in nodes {
        node.terminate(LONG).await;
        node.program.lock().await.set_variable("FAILPOINTS", point);
        node.restart().await;
    }
}

/// Waits until so many more tasks have taken this path; how many it were.
async fn taken(drill: &Drill, counter: &'static str, min: u64) -> anyhow::Result<u64> {
    let before = drill.world.counter(counter).await;
    until(LONG, &format!("{counter} rises by {min}"), async || {
        let risen = drill.world.counter(counter).await.saturating_sub(before);
        Ok((risen >= min).then_some(risen))
    })
    .await
}

async fn credit_lost(drill: &Drill) -> anyhow::Result<Hit> {
    with_point(&drill.world.workers, Some("credit.lost=50%return")).await;
    let handed = taken(drill, HANDED_OVER, HANDED_MIN).await;
    with_point(&drill.world.workers, None).await;
    Ok(Hit::new(handed?, "tasks handed over by the other half"))
}

async fn untold(drill: &Drill) -> anyhow::Result<Hit> {
    with_point(&drill.world.apis, Some("hand_over.lost=50%return")).await;
    let found = taken(drill, HANDED_OVER_UNTOLD, FOUND_MIN).await;
    with_point(&drill.world.apis, None).await;
    Ok(Hit::new(found?, "hand-overs found by beats"))
}

/// A frozen worker takes no messages, and the APIs have its credit for a second.
async fn dead(drill: &Drill) -> anyhow::Result<Hit> {
    let (worker, held) = drill.world.freeze_busiest().await?;
    let pid = worker.pid().await;
    let handed = until(Duration::from_secs(5), "the frozen worker is handed more", async || {
        let now = drill.world.rows.held_by(pid).await?;
        Ok((now > held).then_some(now - held))
    })
    .await;
    let released = drill.released(pid).await?;
    worker.thaw().await;
    Ok(Hit::new(handed?, "tasks handed over to a frozen worker").recovered(released))
}

async fn drain(drill: &Drill) -> anyhow::Result<Hit> {
    let mut handed = 0;
    for worker in &drill.world.workers {
        worker.terminate(LONG).await;
        worker.restart().await;
        handed += taken(drill, HANDED_OVER, HANDED_MIN).await?;
    }
    Ok(Hit::new(handed, "tasks handed over between three drains"))
}

/// Promised slots are not kept, as if several APIs had credit for the same ones; and few slots are left.
async fn overdrawn(drill: &Drill) -> anyhow::Result<Hit> {
    with_point(&drill.world.workers, Some("credit.not_kept=return")).await;
    let back = async {
        post_as(Kind::Deaf, drill, "over-", OVERDRAWN).await?;
        taken(drill, HANDED_OVER_BACK, 1).await
    }
    .await;
    with_point(&drill.world.workers, None).await;
    Ok(Hit::new(back?, "tasks that found no slot"))
}

async fn api_dies(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.world.counter(HANDED_OVER_UNTOLD).await;
    for api in &drill.world.apis {
        crash_at(drill, api, "api.accept.handed").await?;
        api.restart().await;
    }
    let found = drill.rises(HANDED_OVER_UNTOLD, before, "an API that died").await?;
    Ok(Hit::new(found, "hand-overs found by beats, of two APIs that died"))
}
