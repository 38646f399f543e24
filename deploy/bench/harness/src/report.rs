//! The report: rows, and the machine on which they were measured.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::numbers::median;

#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) made_at: String,
    pub(crate) machine: Machine,
    /// Seconds of load in a round.
    pub(crate) seconds: u64,
    pub(crate) rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    /// Load average over a minute when it began: more than a little means that others were at work.
    pub(crate) load_before: String,
    /// The working copy's commit, if git knows it.
    pub(crate) commit: String,
}

/// One contender in one scenario, over all rounds.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) parameter: String,
    pub(crate) system: String,
    pub(crate) guarantee: String,
    /// Of each round: from the first request to the last recorded result; in `status`, reads; in `latency`, round trips.
    pub(crate) tasks_per_s: Vec<f64>,
    /// Medians over the rounds.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Cores by process, `others` being everything on the machine that was not ours.
    pub(crate) cpu: BTreeMap<String, f64>,
    /// Microseconds of processor time a task, by process, `all` being their sum: without the generator and others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cost_us: BTreeMap<String, f64>,
    /// The share of the machine that the hypervisor gave to others.
    pub(crate) steal: f64,
    /// Megabytes by process at the end of the measurement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) memory_mb: BTreeMap<String, f64>,
    /// What only this scenario knows: medians over the rounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) more: BTreeMap<String, f64>,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_run: Option<String>,
}

impl Row {
    pub(crate) fn rate(&self) -> Option<f64> {
        median(&self.tasks_per_s)
    }

    /// PostgreSQL's microseconds a task.
    pub(crate) fn postgres_us(&self) -> Option<f64> {
        self.cost_us.get("postgres").copied()
    }

    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (&self.scenario, &self.parameter, &self.system) == (&other.scenario, &other.parameter, &other.system)
    }
}

impl Machine {
    pub(crate) fn this(root: &Path) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
        let commit =
            std::process::Command::new("git").arg("-C").arg(root).args(["rev-parse", "--short", "HEAD"]).output();
        Self {
            processor: processor.map_or("unknown", |(_, name)| name).into(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: kilobytes.and_then(|text| text.trim().parse::<f64>().ok()).unwrap_or(0.0) / 1024.0 / 1024.0,
            load_before: load_average(),
            commit: commit.map_or_else(|_| String::new(), |done| String::from_utf8_lossy(&done.stdout).trim().into()),
        }
    }
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().into()
}

impl Report {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
    }

    /// Writes `last.json` and a copy that stays; where that is.
    pub(crate) fn write(&self, state: &Path) -> anyhow::Result<PathBuf> {
        let text = serde_json::to_string_pretty(self)?;
        let dated = state.join(format!("{}.json", self.made_at.replace(':', "-")));
        fs::write(&dated, &text)?;
        fs::write(state.join("last.json"), &text)?;
        Ok(dated)
    }
}
