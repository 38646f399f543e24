//! What a fault is, and the catalogue of all of them. `reliability.md` 2.3 tells each one's story.

use std::time::Duration;

use futures::future::LocalBoxFuture;

use crate::{drill::Drill, faults, tasks::Mix};

/// One fault: how it is made, what must show that it happened, and how soon work must go on.
#[derive(Clone)]
pub(crate) struct Fault {
    /// As the catalogue numbers it, with a letter where one number is several faults.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) mix: Mix,
    /// Submissions a second.
    pub(crate) rate: u32,
    /// A variable that all programs have at first, where a fault needs one: its name and its value.
    pub(crate) variable: Option<(&'static str, &'static str)>,
    /// Counters that must have risen from before the fault to the end: without them it did not happen.
    pub(crate) rises: &'static [&'static str],
    /// Counters that must not have.
    pub(crate) stays: &'static [&'static str],
    /// From the fault's heal (or what the fault itself measures) to work going on.
    pub(crate) within: Duration,
    /// Does it, and undoes it.
    pub(crate) inject: Inject,
}

/// Does a fault to a drill under load, and undoes it.
pub(crate) type Inject = for<'a> fn(&'a Drill) -> LocalBoxFuture<'a, anyhow::Result<Hit>>;

/// What a fault saw of itself.
pub(crate) struct Hit {
    /// How often it hit; 0 is no fault.
    pub(crate) count: u64,
    /// What was counted.
    pub(crate) what: String,
    /// How long recovery took, where the fault measures it itself.
    pub(crate) recovered: Option<Duration>,
}

impl Hit {
    pub(crate) fn new(count: impl TryInto<u64>, what: impl Into<String>) -> Self {
        Self { count: count.try_into().unwrap_or(0), what: what.into(), recovered: None }
    }

    pub(crate) fn recovered(mut self, after: Duration) -> Self {
        self.recovered = Some(after);
        self
    }
}

/// A fault that this machine cannot make.
pub(crate) struct NotRun {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) reason: String,
}

/// Every fault of this round, in the catalogue's order.
pub(crate) fn catalogue() -> Vec<Fault> {
    [
        faults::api::faults(),
        faults::broker_answers::faults(),
        faults::worker::faults(),
        faults::worker_network::faults(),
        faults::broker::faults(),
        faults::messages::faults(),
        faults::database::faults(),
        faults::redis::faults(),
        faults::clock::faults(),
        faults::maintenance::faults(),
        faults::network::faults(),
        faults::workflows::faults(),
        faults::unique::faults(),
        faults::upgrade::faults(),
        faults::read_only::faults(),
        faults::fan_out::faults(),
        faults::hand_over::faults(),
    ]
    .concat()
}

/// The ones that CI runs within nine minutes: one of each kind of recovery, and two negative controls.
pub(crate) const CI: [&str; 19] = [
    "F1",
    "F3",
    "F4",
    "F5",
    "F8",
    "F10",
    "F11",
    "F13",
    "F18",
    "F19b",
    "F21",
    "F22c",
    "F29",
    "F37",
    "F80",
    "F83",
    "F86",
    "publish-before-commit",
    "poison-rule-off",
];

/// What every fault has unless it says otherwise.
pub(crate) const fn usual(id: &'static str, name: &'static str, inject: Inject) -> Fault {
    let within = Duration::from_secs(10);
    Fault { id, name, mix: Mix::Mixed, rate: 60, variable: None, rises: &[], stays: &[], within, inject }
}
