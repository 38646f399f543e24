//! Reconcilers against workers, and against each other.

use std::time::Duration;

use caraway_testkit::Way;
use futures::FutureExt as _;
use tokio::time::sleep;

use super::{
    SOON,
    counters::{DEAD, RELAYED},
    crash::RECONCILE,
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    tasks::Mix,
    world::{Node, until},
};

/// Whoever declares a session dead looks at once at what it held.
const LOOKED_WITHIN: Duration = Duration::from_secs(1);

const PROMOTED: &str = "caraway_promoted_total";

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            mix: Mix::Backlog, // full hands
            rate: 90,
            rises: &[DEAD],
            ..usual("F41", "rescuer races a worker that finishes", |drill| race(drill).boxed_local())
        },
        Fault {
            rises: &[RELAYED, PROMOTED],
            variable: Some((RECONCILE, "always")),
            ..usual("F42", "many relays and promoters at once", |drill| many(drill).boxed_local())
        },
    ]
}

/// Rescuers wait between "that session is dead" and taking what it held; in that gap the frozen worker wakes up, and
/// finishes.
async fn race(drill: &Drill) -> anyhow::Result<Hit> {
    let (frozen, _) = drill.world.busiest().await?;
    for node in drill.world.workers.iter().chain([&drill.world.pictures]).filter(|node| node.name != frozen.name) {
        node.terminate(Duration::from_secs(40)).await;
        node.program.lock().await.set_variable("FAILPOINTS", Some("rescuer.declared=sleep(3000)"));
        node.restart().await;
        node.program.lock().await.set_variable("FAILPOINTS", None);
    }
    let (frozen, held) = match drill.world.freeze_if_holding(&frozen).await? {
        Some(held) => (frozen, held),
        None => drill.world.freeze_busiest().await?,
    };
    wake_as_dead(drill, &frozen, held, Duration::ZERO).await
}

/// The same for rescuers that wait by themselves, between looking and taking (a negative control).
pub(crate) async fn race_late_rescuers(drill: &Drill) -> anyhow::Result<Hit> {
    let (frozen, held) = drill.world.freeze_busiest().await?;
    wake_as_dead(drill, &frozen, held, LOOKED_WITHIN).await
}

/// Wakes a frozen worker, which holds so many tasks, as soon as it is declared dead, or so much later.
async fn wake_as_dead(drill: &Drill, frozen: &Node, held: i64, longer: Duration) -> anyhow::Result<Hit> {
    let pid = frozen.pid().await;
    let dead = "SELECT count(*) FROM session WHERE dead AND name LIKE '%:' || $1";
    until(SOON, "the frozen worker's session is declared dead", async || {
        let dead = drill.world.rows.number(dead, &[&pid.to_string()]).await?;
        Ok((dead > 0).then_some(()))
    })
    .await?;
    sleep(longer).await;
    frozen.thaw().await;
    sleep(Duration::from_millis(1500)).await; // it finishes; the rescuers still wait
    Ok(Hit::new(held, "tasks that both wanted"))
}

/// The APIs cannot publish, so that everything is the relays', and every worker has one.
async fn many(drill: &Drill) -> anyhow::Result<Hit> {
    drill.world.apis.iter().for_each(|api| api.amqp.set(Way::Cut));
    sleep(Duration::from_secs(8)).await;
    let (mut relays, mut promoters) = (0, 0);
    for worker in &drill.world.workers {
        relays += u64::from(worker.counter(RELAYED).await > 0);
        promoters += u64::from(worker.counter(PROMOTED).await > 0);
    }
    anyhow::ensure!(relays > 1, "only {relays} relays had work");
    anyhow::ensure!(promoters > 1, "only {promoters} promoters had work");
    Ok(Hit::new(relays + promoters, "relays and promoters at work"))
}
