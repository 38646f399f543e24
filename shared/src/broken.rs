//! Rules that negative controls (of the fault drill, of the cache's race test) switch off, so that their checkers are seen
//! to fail. Compiled out unless
//! the crash points are asked for; then a rule is broken where `FAILPOINTS` says so (`break.audit=return`).

/// A rule that can be broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Nothing is published before its commit.
    PublishAfterCommit,
    /// Only the holder of the current epoch records.
    RecordEpoch,
    /// A rescuer repeats its whole condition.
    RescueState,
    /// A delivery is acked once its pointers are settled.
    AckAfterSettle,
    /// A row is marked once the broker has confirmed.
    MarkAfterConfirm,
    /// A task that was lost twice is a suspect, and poison if it is lost again.
    Poison,
    /// Lost messages are found. It would hide what others break.
    Audit,
    /// A unique key moves on by what is read under its lock.
    DecideUnderLock,
    /// A unique key is locked while it is decided on.
    LockUniqueKeys,
    /// Slow tasks are spread over the workers. Broken, a message takes whatever is offered, and a worker keeps what it holds.
    FanOut,
    /// Of a batch, the ends that a node waits for are added up before they are counted.
    Aggregate,
    /// Only what a transaction has changed moves a workflow on.
    CountOnce,
    /// Only the holder of the token fills an entry of the cache.
    CacheToken,
    /// What is older than an invalidation is not filled in.
    CacheFloor,
    /// No hit is served, and no write answered, against an invalidation that is owed.
    CacheOutbox,
    /// An entry is found only in the Redis process that it was written to.
    CacheRun,
    /// A load shows what was committed before it. Broken, whoever has a fill token loads as from a replica that lags behind.
    CurrentLoads,
    /// A connection goes back to its pool.
    ReturnConnection,
    /// A connection to a server that takes no writes is neither made nor kept.
    DropReadOnly,
}

impl Rule {
    /// Whether this process breaks it.
    pub fn is_broken(self) -> bool {
        fail::fail_point!(self.point(), |_| true);
        false
    }

    /// Unused where the crash points are compiled out.
    #[allow(dead_code, reason = "only crash points ask for it")]
    const fn point(self) -> &'static str {
        match self {
            Self::PublishAfterCommit => "break.publish-after-commit",
            Self::RecordEpoch => "break.record-epoch",
            Self::RescueState => "break.rescue-state",
            Self::AckAfterSettle => "break.ack-after-settle",
            Self::MarkAfterConfirm => "break.mark-after-confirm",
            Self::Poison => "break.poison",
            Self::Audit => "break.audit",
            Self::DecideUnderLock => "break.decide-under-lock",
            Self::LockUniqueKeys => "break.lock-unique-keys",
            Self::FanOut => "break.fan-out",
            Self::Aggregate => "break.aggregate",
            Self::CountOnce => "break.count-once",
            Self::CacheToken => "break.cache-token",
            Self::CacheFloor => "break.cache-floor",
            Self::CacheOutbox => "break.cache-outbox",
            Self::CacheRun => "break.cache-run",
            Self::CurrentLoads => "break.current-loads",
            Self::ReturnConnection => "break.return-connection",
            Self::DropReadOnly => "break.drop-read-only",
        }
    }
}
