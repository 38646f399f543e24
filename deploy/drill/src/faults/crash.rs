//! Crash points: a process ends itself (abort) at one line of its code, after having passed it a few times.

use std::{os::unix::process::ExitStatusExt as _, sync::atomic::Ordering, time::Duration};

use anyhow::ensure;

use crate::{
    drill::Drill,
    world::{Node, until},
};

const SIGABRT: i32 = 6;
/// Which workers reconcile.
pub(crate) const RECONCILE: &str = "CARAWAY_RECONCILE";
/// A point that the load does not reach by then is not on its way.
const REACHED_WITHIN: Duration = Duration::from_secs(30);

/// Starts the node again with that crash point, and waits until it has ended itself there; its process id.
pub(super) async fn crash_at(drill: &Drill, node: &Node, point: &str) -> anyhow::Result<u32> {
    let passes = 1 + drill.below(8).await;
    node.supervised.store(false, Ordering::Release);
    let pid = {
        let mut program = node.program.lock().await;
        program.terminate(Duration::from_secs(40)).await; // only the crash itself may cost anybody a try
        program.set_variable("FAILPOINTS", Some(&format!("{point}={passes}*off->return")));
        program.set_variable(RECONCILE, Some("always")); // so it reaches the reconcilers' points, also without the lease
        program.respawn();
        program.set_variable("FAILPOINTS", None); // it crashes once
        program.set_variable(RECONCILE, None);
        program.pid()
    };
    let status = until(REACHED_WITHIN, &format!("{} crashes at {point}", node.name), async || {
        Ok(node.program.lock().await.exited())
    })
    .await?;
    ensure!(status.signal() == Some(SIGABRT), "{} ended at {point} otherwise: {status}", node.name);
    Ok(pid)
}
