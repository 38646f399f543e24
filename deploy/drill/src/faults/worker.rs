//! What kills a worker, freezes it, or stops it.

use std::time::Duration;

use anyhow::ensure;
use futures::FutureExt as _;
use tokio::time::{Instant, sleep};

use super::{
    KILLED_MAX, SLOT_MAX, SOON,
    counters::{DEAD, POISONED, REFUSED, RESCUED},
    crash::crash_at,
    kill_and_restart,
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    tasks::Mix,
    world::until,
};

/// The crash points of a task in its worker, in order (E1 to F5 of the crash table), and of the promoter.
const POINTS: [&str; 11] = [
    "worker.delivered",
    "claim.writing",
    "claim.written",
    "worker.claimed",
    "worker.executed",
    "record.writing",
    "record.written",
    "worker.announced",
    "worker.recorded",
    "promoter.promoted",
    "relay.taken",
];
const KILLS: usize = 20;
const BETWEEN_KILLS: Duration = Duration::from_secs(1);
const SPARED_MAX: usize = 200;
/// Poison tasks that have to be ended.
const POISONOUS: u64 = 3;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault {
            mix: Mix::Brief,
            rises: &[RESCUED],
            within: SLOT_MAX,
            ..usual("F8", "worker killed at each crash point E1-F5", |drill| crash(drill).boxed_local())
        },
        Fault {
            rises: &[RESCUED, DEAD],
            within: KILLED_MAX,
            ..usual("F8b", "worker killed -9 and not restarted", |drill| kill(drill).boxed_local())
        },
        Fault {
            mix: Mix::Backlog,
            rate: 120,
            rises: &[RESCUED],
            stays: &[POISONED],
            within: SLOT_MAX,
            ..usual("F9", "worker killed -9 with full hands, 20 times", |drill| kill_often(drill).boxed_local())
        },
        Fault {
            mix: Mix::Deadly,
            rises: &[RESCUED, POISONED],
            ..usual("F10", "a task that kills its worker each time", |drill| poison(drill).boxed_local())
        },
        Fault {
            rises: &[RESCUED, DEAD, REFUSED],
            within: KILLED_MAX,
            ..usual("F11", "worker frozen longer than its lease", |drill| freeze_long(drill).boxed_local())
        },
        Fault {
            stays: &[RESCUED, DEAD],
            ..usual("F12", "worker frozen 5 s, shorter than its lease", |drill| freeze_short(drill).boxed_local())
        },
        Fault {
            mix: Mix::Hanging,
            ..usual("F16", "handlers hang past their limit", |drill| hang(drill).boxed_local())
        },
        Fault {
            stays: &[RESCUED],
            ..usual("F18", "workers and an API stopped by SIGTERM", |drill| terminate(drill).boxed_local())
        },
    ]
}

async fn crash(drill: &Drill) -> anyhow::Result<Hit> {
    let mut slowest = Duration::ZERO;
    for (index, point) in POINTS.into_iter().enumerate() {
        let worker = &drill.world.workers[index % drill.world.workers.len()];
        if point == "relay.taken" {
            drill.world.apis.iter().for_each(|api| api.amqp.set(caraway_testkit::Way::Cut));
        }
        let pid = crash_at(drill, worker, point).await?;
        let began = Instant::now();
        worker.restart().await;
        drill.released(pid).await?;
        slowest = slowest.max(began.elapsed());
    }
    Ok(Hit::new(POINTS.len(), "crash points").recovered(slowest))
}

async fn kill(drill: &Drill) -> anyhow::Result<Hit> {
    let (worker, held) = drill.world.freeze_busiest().await?;
    let pid = worker.pid().await;
    worker.kill().await;
    let released = drill.released(pid).await?;
    worker.restart().await;
    Ok(Hit::new(held, "tasks held").recovered(released))
}

/// An innocent task that is running on three workers, one after the other, just when each is killed, is ended as poison:
/// nothing tells it from a guilty one (PROMISES.md). At twenty kills a minute that is no rare chance, so a worker is
/// spared in the moment in which it holds a task that was lost twice.
async fn kill_often(drill: &Drill) -> anyhow::Result<Hit> {
    let (mut slowest, mut all, mut kills, mut spared) = (Duration::ZERO, 0, 0, 0);
    while kills < KILLS {
        let (worker, _) = drill.world.freeze_busiest().await?; // what it holds now is what it holds when it is killed
        if drill.world.rows.suspects_held_by(worker.pid().await).await? > 0 {
            worker.thaw().await;
            spared += 1;
            ensure!(spared < SPARED_MAX, "workers hold nothing but suspects");
            sleep(Duration::from_millis(100)).await;
            continue;
        }
        let (released, held) = kill_and_restart(drill, &worker).await?;
        slowest = slowest.max(released);
        all += held;
        kills += 1;
        sleep(BETWEEN_KILLS).await;
    }
    Ok(Hit::new(all, format!("tasks held, {KILLS} kills, {spared} times a worker was spared")).recovered(slowest))
}

/// The load does it: one task in some hundreds is poison. The supervisor starts again what died.
async fn poison(drill: &Drill) -> anyhow::Result<Hit> {
    let neighbours = "SELECT count(*) FROM task WHERE losses > 0 AND name <> 'abort'";
    let hit = until(SOON * 2, "tasks are ended as poison, and neighbours died with them", async || {
        let hit = drill.world.rows.number(neighbours, &[]).await?;
        Ok((drill.world.counter(POISONED).await >= POISONOUS && hit > 0).then_some(hit))
    });
    let hit = hit.await?;
    let deaths = drill.world.deaths.load(std::sync::atomic::Ordering::Acquire);
    Ok(Hit::new(hit, format!("neighbours hit, {deaths} workers died")))
}

async fn freeze_long(drill: &Drill) -> anyhow::Result<Hit> {
    let (worker, held) = drill.world.freeze_busiest().await?;
    let released = drill.released(worker.pid().await).await?;
    sleep(Duration::from_secs(2)).await; // the newer attempts run
    worker.thaw().await;
    Ok(Hit::new(held, "tasks held").recovered(released))
}

async fn freeze_short(drill: &Drill) -> anyhow::Result<Hit> {
    let (worker, held) = drill.world.freeze_busiest().await?;
    sleep(Duration::from_secs(5)).await;
    worker.thaw().await;
    Ok(Hit::new(held, "tasks held"))
}

async fn hang(drill: &Drill) -> anyhow::Result<Hit> {
    let sql = "SELECT count(*) FROM attempt WHERE outcome = 'timed_out'";
    let hung = until(SOON, "hung attempts are ended", async || {
        let hung = drill.world.rows.number(sql, &[]).await?;
        Ok((hung >= 5).then_some(hung))
    });
    Ok(Hit::new(hung.await?, "attempts ended at their limit"))
}

/// One after the other, as a deploy does, each worker while it holds tasks.
async fn terminate(drill: &Drill) -> anyhow::Result<Hit> {
    let mut all = 0;
    for worker in drill.world.workers.iter().take(2) {
        let held = until(SOON, "the worker holds a task", async || drill.world.freeze_if_holding(worker).await);
        let held = held.await?;
        anyhow::ensure!(worker.terminate(Duration::from_secs(20)).await, "{} did not end in order", worker.name);
        worker.restart().await;
        all += held;
    }
    let api = &drill.world.apis[0];
    anyhow::ensure!(api.terminate(Duration::from_secs(40)).await, "{} did not end in order", api.name);
    api.restart().await;
    Ok(Hit::new(all, "tasks held at the signal"))
}
