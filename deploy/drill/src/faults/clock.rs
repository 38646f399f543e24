//! Wall clocks that jump, by libfaketime in one process at a time: nobody may be taken for dead, nothing start early.

use std::{path::PathBuf, time::Duration};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::{
    SOON,
    counters::{DEAD, POISONED},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, NotRun, usual},
    world::{Node, until},
};

const JUMPS: [i64; 2] = [3600, -3600];
/// A clock within this of where it jumped to has jumped.
const NEAR: SignedDuration = SignedDuration::from_secs(30);
/// Longer than a lease, so that a rescue would show.
const EACH: Duration = Duration::from_secs(20);
const NAME: &str = "wall clocks jump by an hour";

pub(crate) fn faults() -> Vec<Fault> {
    // a restart that takes its slot again has its tasks rescued, rightly; a session declared dead would be wrong
    vec![Fault { stays: &[DEAD, POISONED], ..usual("F38", NAME, |drill| jump(drill).boxed_local()) }]
}

/// Why it cannot be made here.
pub(crate) fn missing() -> Option<NotRun> {
    let reason = "libfaketime is not installed (Debian: apt-get install libfaketime)";
    library().is_none().then(|| NotRun { id: "F38", name: NAME, reason: reason.into() })
}

fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists())
}

/// A worker and an API start in the right time and jump while they run.
async fn jump(drill: &Drill) -> anyhow::Result<Hit> {
    let library = library().ok_or_else(|| anyhow::anyhow!("libfaketime is gone"))?.display().to_string();
    let file = drill.world.place.folder().join("faketime");
    std::fs::write(&file, "+0")?;
    let nodes = [&drill.world.workers[0], &drill.world.apis[0]];
    for node in nodes {
        let preload = [
            ("LD_PRELOAD", Some(library.as_str())),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str()),
            ("FAKETIME_NO_CACHE", Some("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", Some("1")),
            ("DONT_FAKE_MONOTONIC", Some("1")),
        ];
        again_with(node, &preload).await;
    }
    let mut jumps = 0;
    for seconds in JUMPS {
        std::fs::write(&file, format!("{seconds:+}"))?;
        for node in nodes {
            jumped(node, SignedDuration::from_secs(seconds)).await?;
            jumps += 1;
        }
        sleep(EACH).await;
    }
    std::fs::write(&file, "+0")?;
    for node in nodes {
        again_with(node, &[("LD_PRELOAD", None)]).await;
    }
    Ok(Hit::new(jumps, "jumps, as the programs themselves tell the time"))
}

/// Waits until the program tells a time that is wrong by so much.
async fn jumped(node: &Node, by: SignedDuration) -> anyhow::Result<()> {
    until(SOON, &format!("the clock of {} jumps by {by:#}", node.name), async || {
        let told = node.program.lock().await.wall_clock().await;
        let wrong = told.map(|told| told.duration_since(Timestamp::now()));
        Ok(wrong.filter(|wrong| (*wrong - by).abs() < NEAR).map(drop))
    })
    .await
}

async fn again_with(node: &Node, variables: &[(&str, Option<&str>)]) {
    node.terminate(Duration::from_secs(40)).await;
    for (name, value) in variables {
        node.program.lock().await.set_variable(name, *value);
    }
    node.restart().await;
}
