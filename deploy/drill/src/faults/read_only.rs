//! PostgreSQL that takes no writes for a while, as a standby does until it is promoted.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::sleep;

use super::{
    SOON,
    counters::{DEAD, REPEATS},
};
use crate::{
    drill::Drill,
    fault::{Fault, Hit, usual},
    world::until,
};

/// As long as a failover to a standby takes that is slow about it.
const READ_ONLY: Duration = Duration::from_secs(12);

pub(crate) fn faults() -> Vec<Fault> {
    vec![Fault {
        rises: &[REPEATS],
        stays: &[DEAD],
        ..usual("F84", "database turns read-only and back", |drill| read_only(drill).boxed_local())
    }]
}

/// All connections end, those that are made next cannot write, and stay so when the database can be written again: as after a
/// failover in which the old server comes back as a standby on the address that programs know.
async fn read_only(drill: &Drill) -> anyhow::Result<Hit> {
    let before = drill.refused().await;
    let ended = drill.world.rows.turn_read_only().await?;
    sleep(READ_ONLY).await;
    let told = until(SOON, "every process tells that the database cannot be written", async || {
        let mut told = 0;
        for node in drill.world.nodes() {
            let (status, text) = node.program.lock().await.readiness().await;
            told += usize::from(status == 503 && text.contains("no writes"));
        }
        Ok((told == drill.world.nodes().count()).then_some(told))
    })
    .await;
    drill.world.rows.turn_writable().await?;
    let (told, refused) = (told?, drill.refused().await - before);
    Ok(Hit::new(refused, format!("answers that were no 2xx, {ended} connections ended, {told} processes said why")))
}
