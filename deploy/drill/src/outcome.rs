//! What became of a drill, as the report tells it.

use serde::Serialize;

use crate::{
    check::{Figures, Finding, Invariant},
    samples::Sample,
};

/// Tasks that must have taken each of the two ways to a worker, where both are open.
const PATH_MIN: u64 = 20;

/// Something that was wrong for a while: the schedule of what was done to the system. Milliseconds.
#[derive(Clone, Serialize)]
pub(crate) struct Mark {
    pub(crate) name: String,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// What became of a drill.
#[derive(Serialize)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) hit: String,
    pub(crate) figures: Figures,
    pub(crate) recovered_s: Option<f64>,
    pub(crate) within_s: f64,
    pub(crate) took_s: f64,
    pub(crate) counters: Vec<(String, u64)>,
    pub(crate) notes: Vec<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) timelines: Vec<String>,
    pub(crate) samples: Vec<Sample>,
    /// The fault, or each of several.
    pub(crate) marks: Vec<Mark>,
}

impl Outcome {
    pub(crate) fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    /// With hand-over on, tasks have to take both paths: or the fault has attacked only one of them.
    pub(crate) fn require_both_paths(&mut self) {
        for path in ["caraway_handed_over_total", "caraway_claimed_total"] {
            let count = self.counters.iter().find(|(name, _)| name == path).map_or(0, |(_, count)| *count);
            if count < PATH_MIN {
                self.add(Invariant::Happened, format!("{count} tasks by the path of {path}, fewer than {PATH_MIN}"));
            }
        }
    }

    /// Something that is wrong with the drill as a whole.
    pub(crate) fn add(&mut self, invariant: Invariant, text: impl Into<String>) {
        self.findings.push(Finding { invariant, task: None, text: text.into() });
    }
}
