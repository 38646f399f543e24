//! Rules that the negative controls of the fault drill switch off, so that its checker is seen to fail. Compiled out unless
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
    /// A connection goes back to its pool.
    ReturnConnection,
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
            Self::ReturnConnection => "break.return-connection",
        }
    }
}
