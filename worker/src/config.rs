//! What a worker is told, by flag or by variable.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use caraway_shared::{config::Common, store::Keep, task::QueueName};
use clap::{Args, Parser, ValueEnum};

/// A worker's flags. A user's own binary has the same ones.
#[derive(Clone, Parser)]
#[command(version, about = "Executes Caraway's tasks")]
pub struct WorkerArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// A queue to serve and how many of its tasks at once; may be given several times
    #[arg(long = "queue", env = "CARAWAY_QUEUES", value_name = "NAME=SLOTS", value_delimiter = ',')]
    pub(crate) queues: Vec<Served>,
    /// The simple form: this many slots for the queue `default`, and for every other queue of the registered tasks as
    /// many as there are cores
    #[arg(long, env = "CARAWAY_CONCURRENCY", conflicts_with = "queues", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) concurrency: Option<u32>,
    /// Where /metrics, /livez and /readyz are served; port 0 takes a free one
    #[arg(long, env = "CARAWAY_WORKER_BIND", default_value = "127.0.0.1:0")]
    pub(crate) bind: SocketAddr,
    /// A file of this worker's own that it holds locked: a restart with the same file takes over at once
    #[arg(long, env = "CARAWAY_SLOT_FILE")]
    pub(crate) slot_file: Option<PathBuf>,
    /// Seconds that running tasks get to finish after SIGTERM
    #[arg(long, env = "CARAWAY_GRACE", default_value_t = 30)]
    grace: u64,
    /// Seconds that an attempt may take, where neither the task nor its type says anything; 0 is for ever
    #[arg(long, env = "CARAWAY_TIME_LIMIT", default_value_t = 3600)]
    time_limit: u64,
    /// How many handlers that go on past their hard limit get their slot replaced; the slots of more stay taken
    #[arg(long, env = "CARAWAY_OVERDUE_MAX", default_value_t = 8, value_parser = clap::value_parser!(u16).range(..=10_000))]
    pub(crate) overdue_max: u16,
    /// Who promotes, expires, relays, retains and rescues: one worker of the installation at a time, or each of them, which costs the
    /// database more with every worker
    #[arg(long, env = "CARAWAY_RECONCILE", value_enum, default_value_t)]
    pub(crate) reconcile: Reconcile,
    /// Let APIs hand tasks over to this worker at once while it has free slots and nothing waits
    #[arg(long, env = "CARAWAY_HAND_OVER")]
    pub(crate) hand_over: bool,
    #[command(flatten)]
    keep: KeepArgs,
    /// Register the small tasks for demonstration and tests: add, echo, sleep, fail
    #[arg(long, env = "CARAWAY_DEMO_TASKS")]
    pub demo_tasks: bool,
    /// Let `fetch_data` reach this machine's own loopback addresses: for development and tests only
    #[arg(long, env = "CARAWAY_FETCH_ALLOW_LOOPBACK")]
    pub fetch_allow_loopback: bool,
    /// Mebibytes that pictures may take in all slots together, half of it for their files; a picture waits for its share
    #[arg(long, env = "CARAWAY_PICTURE_MEBIBYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=1_048_576))]
    pub picture_mebibytes: u32,
    /// Millions of pixels that a picture may have
    #[arg(long, env = "CARAWAY_PICTURE_MEGAPIXELS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub picture_megapixels: u32,
    /// The program with the picture codecs; by default `caraway-pictures` beside this one
    #[arg(long, env = "CARAWAY_PICTURE_CODECS")]
    pub picture_codecs: Option<PathBuf>,
}

/// Which workers run the reconcilers.
#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum, Debug)]
pub(crate) enum Reconcile {
    /// The one that holds the lease.
    #[default]
    One,
    /// Each of them.
    Always,
}

/// How long things are kept, in seconds. All workers of an installation should be told the same: the one that reconciles decides.
#[derive(Clone, Args)]
#[command(next_help_heading = "Retention")]
struct KeepArgs {
    /// Seconds that tasks and workflows are kept that succeeded, were cancelled or expired, where they say nothing themselves
    #[arg(long = "keep-ended", env = "CARAWAY_KEEP_ENDED", default_value_t = 86_400, value_parser = seconds())]
    ended: u64,
    /// Seconds that tasks and workflows are kept that failed
    #[arg(long = "keep-failed", env = "CARAWAY_KEEP_FAILED", default_value_t = 7 * 86_400, value_parser = seconds())]
    failed: u64,
    /// Seconds that the answer to an idempotency key is kept
    #[arg(long = "keep-idempotency-keys", env = "CARAWAY_KEEP_IDEMPOTENCY_KEYS", default_value_t = 86_400, value_parser = seconds())]
    idempotency_keys: u64,
    /// Seconds that sessions of workers that are gone are kept, and snoozed attempts
    #[arg(long = "keep-sessions", env = "CARAWAY_KEEP_SESSIONS", default_value_t = 86_400, value_parser = seconds())]
    sessions: u64,
    /// Seconds that messages are kept in quarantine
    #[arg(long = "keep-quarantine", env = "CARAWAY_KEEP_QUARANTINE", default_value_t = 30 * 86_400, value_parser = seconds())]
    quarantine: u64,
    /// Seconds that the place of a deleted value is kept
    #[arg(long = "keep-deleted-data", env = "CARAWAY_KEEP_DELETED_DATA", default_value_t = 86_400, value_parser = seconds())]
    deleted_data: u64,
    /// Seconds that the audit log is kept
    #[arg(long = "keep-orders", env = "CARAWAY_KEEP_ORDERS", default_value_t = 400 * 86_400, value_parser = seconds())]
    orders: u64,
}

/// Up to a hundred years.
fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(..=3_155_760_000)
}

impl WorkerArgs {
    pub(crate) const fn keep(&self) -> Keep {
        let kept = &self.keep;
        Keep {
            ended: Duration::from_secs(kept.ended),
            failed: Duration::from_secs(kept.failed),
            idempotency_keys: Duration::from_secs(kept.idempotency_keys),
            sessions: Duration::from_secs(kept.sessions),
            quarantine: Duration::from_secs(kept.quarantine),
            deleted_data: Duration::from_secs(kept.deleted_data),
            orders: Duration::from_secs(kept.orders),
        }
    }

    pub(crate) const fn grace(&self) -> Duration {
        Duration::from_secs(self.grace)
    }

    pub(crate) fn time_limit(&self) -> Option<Duration> {
        (self.time_limit > 0).then(|| Duration::from_secs(self.time_limit))
    }
}

/// `NAME=SLOTS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Served {
    pub(crate) queue: QueueName,
    pub(crate) slots: usize,
}

impl FromStr for Served {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, slots) = text.split_once('=').ok_or("expected NAME=SLOTS, such as default=256")?;
        let queue = name.parse().map_err(|error| format!("queue name {name:?} {error}"))?;
        let slots = slots.parse().ok().filter(|slots| (1..=100_000).contains(slots));
        Ok(Self { queue, slots: slots.ok_or("slots must be a whole number from 1 to 100000")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_and_slots() {
        let served = "images=2".parse::<Served>().unwrap();
        assert_eq!((served.queue.as_str(), served.slots), ("images", 2));
        for bad in ["images", "images=", "images=0", "images=-1", "=2", "a b=2", "images=100001"] {
            assert!(bad.parse::<Served>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory;
        WorkerArgs::command().debug_assert();
    }
}
