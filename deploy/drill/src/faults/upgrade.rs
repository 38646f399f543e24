//! Another version of Caraway, one process after the other, under load. There is no release yet, so one program is each of the
//! versions, as a variable says (`shared/src/store/schema/drill.rs`).

use std::time::Duration;

use anyhow::ensure;
use futures::FutureExt as _;

use super::SOON;
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::Node,
};

/// What makes a program one of the versions.
const VERSION: &str = "CARAWAY_DRILL_VERSION";
/// How long a process may take to stop: its grace, and what it records after it.
const STOPS_WITHIN: Duration = Duration::from_secs(50);
const NEW_COLUMN: &str =
    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'task_spec'::regclass AND attname = 'drill_new'";
const OLD_COLUMN: &str =
    "SELECT count(*) FROM pg_attribute WHERE attrelid = 'task_spec'::regclass AND attname = 'drill_old'";

pub(crate) fn faults() -> Vec<Fault> {
    let upgrade = usual("F83", "rolling upgrade N-1, N, N-1, N, then the contract", |drill| roll(drill).boxed_local());
    vec![Fault { variable: Some((VERSION, "previous")), ..upgrade }]
}

/// Up, down and up again; the column that the older version reads goes one release later, and then that version is refused.
async fn roll(drill: &Drill) -> anyhow::Result<Hit> {
    let mut restarts = 0;
    for version in ["next", "previous", "next"] {
        restarts += become_all(drill, version).await?;
        ensure!(drill.world.rows.number(NEW_COLUMN, &[]).await? == 1, "the schema is not that of the newer version");
    }
    restarts += become_all(drill, "after").await?;
    ensure!(drill.world.rows.number(OLD_COLUMN, &[]).await? == 0, "the old column is still there");
    for node in [drill.world.apis.first(), drill.world.workers.first()].into_iter().flatten() {
        refused(node).await?;
    }
    Ok(Hit::new(restarts, "restarts with another version"))
}

/// The control: the column goes at once, while workers that read it run, and nobody says so.
pub(crate) async fn roll_hastily(drill: &Drill) -> anyhow::Result<Hit> {
    for api in &drill.world.apis {
        become_version(api, "hasty").await?;
    }
    Ok(Hit::new(drill.world.apis.len(), "APIs of another version"))
}

/// Restarts every process as this version, APIs first, because they migrate; how many it were.
async fn become_all(drill: &Drill, version: &str) -> anyhow::Result<usize> {
    for node in drill.world.nodes() {
        become_version(node, version).await?;
    }
    Ok(drill.world.nodes().count())
}

async fn become_version(node: &Node, version: &str) -> anyhow::Result<()> {
    ensure!(node.terminate(STOPS_WITHIN).await, "{} did not stop in order", node.name);
    node.program.lock().await.set_variable(VERSION, Some(version));
    node.restart().await;
    Ok(())
}

/// The older version ends at once where the schema is not for it any more, and says why; then the newer one is started again.
async fn refused(node: &Node) -> anyhow::Result<()> {
    ensure!(node.terminate(STOPS_WITHIN).await, "{} did not stop in order", node.name);
    let mut program = node.program.lock().await;
    program.set_variable(VERSION, Some("previous"));
    program.respawn();
    ensure!(!program.wait_exit(SOON).await.success(), "{} worked with a schema that is not for it", node.name);
    ensure!(program.log().contains("use a newer version of Caraway"), "{} did not say why it ended", node.name);
    program.set_variable(VERSION, Some("after"));
    drop(program);
    node.restart().await;
    Ok(())
}
