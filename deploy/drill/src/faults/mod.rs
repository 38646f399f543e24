//! The faults, by what they hit. Each is a function that does it to a drill under load, undoes it, and says how often
//! it hit.

pub(crate) mod api;
pub(crate) mod broker;
pub(crate) mod broker_answers;
pub(crate) mod clock;
pub(crate) mod crash;
pub(crate) mod database;
pub(crate) mod fan_out;
pub(crate) mod hand_over;
pub(crate) mod maintenance;
pub(crate) mod messages;
pub(crate) mod network;
pub(crate) mod read_only;
pub(crate) mod redis;
pub(crate) mod unique;
pub(crate) mod upgrade;
pub(crate) mod worker;
pub(crate) mod worker_network;
pub(crate) mod workflows;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    drill::Drill,
    world::{Node, until},
};

/// Counters by which recovery shows.
pub(crate) mod counters {
    pub(crate) const AUDITED: &str = "caraway_audit_owed_again_total";
    pub(crate) const BLOCKED: &str = "caraway_broker_blocked_total";
    pub(crate) const REDIS_FAILED: &str = "caraway_cache_failures_total";
    pub(crate) const DEAD: &str = "caraway_sessions_declared_dead_total";
    pub(crate) const HANDED_OVER: &str = "caraway_handed_over_total";
    pub(crate) const HANDED_OVER_BACK: &str = "caraway_handed_over_back_total";
    pub(crate) const HANDED_OVER_UNTOLD: &str = "caraway_handed_over_untold_total";
    pub(crate) const ORPHANS: &str = "caraway_unique_orphans_total";
    pub(crate) const POISONED: &str = "caraway_poisoned_total";
    pub(crate) const RECONNECTS: &str = "caraway_broker_reconnects_total";
    pub(crate) const REFUSED_MESSAGES: &str = "caraway_messages_refused_total";
    pub(crate) const REFUSED: &str = "caraway_records_refused_total";
    pub(crate) const RELAYED: &str = "caraway_relay_published_total";
    pub(crate) const REPEATS: &str = "caraway_batch_repeats_total";
    pub(crate) const RESCUED: &str = "caraway_rescued_total";
    pub(crate) const STALE: &str = "caraway_stale_pointers_total";
    pub(crate) const UNBLOCKED: &str = "caraway_unblocked_total";
    pub(crate) const UNROUTABLE: &str = "caraway_messages_unroutable_total";
}

/// A killed worker's tasks are somebody else's within this.
const KILLED_MAX: Duration = Duration::from_secs(25);
/// The same where its slot is taken again at once.
const SLOT_MAX: Duration = Duration::from_secs(4);
/// How long anything is waited for that has to come.
const SOON: Duration = Duration::from_mins(1);

impl Drill {
    /// From now until nothing is held by that dead, or frozen, worker.
    async fn released(&self, pid: u32) -> anyhow::Result<Duration> {
        let began = Instant::now();
        until(SOON, "what the worker held is taken back", async || {
            Ok((self.world.rows.held_by(pid).await? == 0).then_some(()))
        })
        .await?;
        Ok(began.elapsed())
    }

    /// Waits until this counter has risen above `before`, as it must under the fault; by how much.
    async fn rises(&self, counter: &'static str, before: u64, fault: &str) -> anyhow::Result<u64> {
        until(SOON, &format!("{counter} rises, for {fault}"), async || {
            let risen = self.world.counter(counter).await.saturating_sub(before);
            Ok((risen > 0).then_some(risen))
        })
        .await
    }

    /// Tasks that clients were promised so far.
    async fn accepted(&self) -> u64 {
        self.load.lock().await.accepted()
    }

    /// Answers so far that promised nothing.
    async fn refused(&self) -> u64 {
        self.load.lock().await.refused()
    }

    /// A whole number below `end`, by the seed.
    async fn below(&self, end: usize) -> usize {
        use rand::RngExt as _;
        self.random.lock().await.random_range(0..end.max(1))
    }

    /// Waits until so many traps were met on these ways; how many it were.
    async fn fired(&self, proxies: &[&caraway_testkit::Proxy], wanted: u64) -> anyhow::Result<u64> {
        let fired = || proxies.iter().map(|proxy| proxy.fired()).sum::<u64>();
        until(SOON, "the traps are met", async || Ok((fired() >= wanted).then_some(()))).await?;
        Ok(fired())
    }
}

/// Kills a worker and starts it again; how long its tasks were nobody's, and how many they were.
async fn kill_and_restart(drill: &Drill, worker: &Node) -> anyhow::Result<(Duration, u64)> {
    let pid = worker.pid().await;
    worker.kill().await;
    let held = drill.world.rows.held_by(pid).await?;
    let began = Instant::now();
    worker.restart().await;
    drill.released(pid).await?;
    Ok((began.elapsed(), held.unsigned_abs()))
}
