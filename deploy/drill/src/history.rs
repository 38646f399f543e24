//! What a drill writes down while it runs, and reads at its end: the whole input of the checker. Plain data.
//!
//! Times are milliseconds of the machine's monotonic clock, the same for clients, handlers and the drill.

use std::collections::{BTreeMap, HashMap};

use caraway_testkit::{Ended, Execution};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// What a task is, and with that how it has to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Says its token.
    Echo,
    /// Sleeps.
    Sleep,
    /// Sleeps, whatever it is told.
    Deaf,
    /// Sleeps for seconds, whatever it is told; one of a batch.
    Slow,
    /// Burns CPU.
    Spin,
    /// Fails so many attempts, then succeeds.
    Retry(i32),
    /// A result of so many bytes.
    Large(usize),
    /// Starts so many milliseconds late.
    Delayed(u64),
    /// Its client cancels it.
    Cancelled,
    /// Must not start later than its expiry, a moment after its acceptance.
    Expiring,
    /// Runs past its time limit, every time.
    Hung,
    /// `process_image` of the built-in worker, which writes no ledger.
    Image,
    /// Takes its worker with it, every time.
    Abort,
    /// Unique by this key: it gives way to a newer one, or waits for an older one that runs.
    Latest(u32),
    /// Unique by this key: it gives way to a newer one, and is not accepted beside one that runs.
    Replace(u32),
}

impl Kind {
    /// The key that makes it unique.
    pub(crate) const fn unique(self) -> Option<u32> {
        match self {
            Self::Latest(key) | Self::Replace(key) => Some(key),
            _ => None,
        }
    }
}

/// What a client heard when it asked to cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelAnswer {
    /// 200: it is cancelled.
    Cancelled,
    /// 202: it was asked to stop.
    Requested,
    /// 409: it had ended.
    Over,
}

/// One submission of one client, from its first request to its last.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Its tag, so that its row is found even when no answer told the id; its idempotency key, if it has one; its token.
    pub(crate) key: String,
    /// Whether the requests carried the key, so that they may be repeated after "unknown".
    pub(crate) keyed: bool,
    pub(crate) kind: Kind,
    /// Its first request.
    pub(crate) sent_ms: u64,
    /// Every id that was ever answered with 2xx.
    pub(crate) ids: Vec<Uuid>,
    /// When the first of them was.
    pub(crate) accepted_ms: Option<u64>,
    /// Answers that were not 2xx.
    pub(crate) refused: u32,
    pub(crate) unknown: u32,
    /// The answer to its cancellation.
    pub(crate) cancel: Option<CancelAnswer>,
    /// What was said, in order, for the timeline.
    pub(crate) words: Vec<(u64, String)>,
}

/// A task's row at the end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) key: Option<String>,
    pub(crate) state: String,
    pub(crate) epoch: i32,
    pub(crate) attempt: i32,
    pub(crate) max_attempts: i32,
    pub(crate) losses: i32,
    #[serde(skip)]
    pub(crate) result: Option<Value>,
    pub(crate) error_code: Option<String>,
    /// Whether its last start was past its expiry, by the database's clock.
    pub(crate) started_expired: bool,
    /// Everything that people may want to see of it.
    pub(crate) text: String,
}

/// An attempt that was not the last.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attempt {
    pub(crate) epoch: i32,
    pub(crate) outcome: String,
    pub(crate) text: String,
}

/// Everything that the checker looks at.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) entries: Vec<Entry>,
    pub(crate) rows: HashMap<Uuid, Row>,
    pub(crate) attempts: HashMap<Uuid, Vec<Attempt>>,
    pub(crate) ledger: BTreeMap<Uuid, Vec<Execution>>,
    /// Ended tasks as they stood at some moment during the drill, and at the end.
    pub(crate) ended_before: Vec<HashMap<Uuid, Ended>>,
    pub(crate) ended: HashMap<Uuid, Ended>,
    /// Documents of ended tasks, as the API told them: id, state, result.
    pub(crate) told: Vec<(Uuid, String, Option<Value>)>,
    /// What was put into quarantine: reason.
    pub(crate) quarantine: Vec<String>,
    /// Reasons and counts that the fault itself explains.
    pub(crate) quarantine_explained: usize,
    /// Keys that were used again with another body: the codes of the answers.
    pub(crate) reused: Vec<(u16, String)>,
    /// Rows that no entry made, and that the fault explains.
    pub(crate) rows_explained: usize,
}

impl Entry {
    /// The one task that it stands for.
    pub(crate) fn id(&self) -> Option<Uuid> {
        self.ids.first().copied()
    }
}
