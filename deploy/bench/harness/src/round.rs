//! Rounds in alternation (A B A B …), so that what the machine does beside us hits everyone alike, and their folding
//! into rows.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use crate::{
    numbers::{Latencies, median},
    proc::{Seen, Watch, Watched},
    report::Row,
    scenario::Bench,
    system::System,
};

/// What is measured: a row to be.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) parameter: String,
    pub(crate) system: System,
}

/// One round of one contender.
pub(crate) struct Measured {
    pub(crate) per_s: Option<f64>,
    pub(crate) latencies: Latencies,
    pub(crate) seen: Seen,
    /// Microseconds of processor time a task, by process.
    pub(crate) cost_us: BTreeMap<String, f64>,
    pub(crate) memory_mb: BTreeMap<String, f64>,
    pub(crate) more: BTreeMap<String, f64>,
}

impl Measured {
    /// Ends the watch.
    pub(crate) fn new(per_s: f64, latencies: Latencies, watch: &Watch, watched: &Watched) -> anyhow::Result<Self> {
        let seen = watch.end()?;
        let (cost_us, memory_mb) = (cost_us(&seen.cpu, per_s), watched.memory_mb()?);
        Ok(Self { per_s: Some(per_s), latencies, seen, cost_us, memory_mb, more: BTreeMap::new() })
    }

    /// What is no rate.
    pub(crate) fn without_rate(mut self) -> Self {
        self.per_s = None;
        self.cost_us.clear();
        self
    }

    pub(crate) fn with(mut self, name: &str, value: f64) -> Self {
        self.more.insert(name.into(), value);
        self
    }
}

/// Microseconds of processor time a task, by process and of all; who asks and who is not part of it is left out. Cores and rate
/// are of the same time, so one divides the other.
fn cost_us(cores: &BTreeMap<String, f64>, per_s: f64) -> BTreeMap<String, f64> {
    if per_s <= 0.0 {
        return BTreeMap::new();
    }
    let serving = cores.iter().filter(|(name, _)| !matches!(name.as_str(), "generator" | "others"));
    let mut costs: BTreeMap<String, f64> =
        serving.map(|(name, cores)| (name.clone(), cores / per_s * 1_000_000.0)).collect();
    let all = costs.values().sum();
    costs.insert("all".into(), all);
    costs
}

impl Bench {
    /// Measures each entry once a round, in turn. A round that fails ends this entry and no other.
    pub(crate) async fn alternate(
        &self,
        scenario: &str,
        entries: &[Entry],
        measure: impl AsyncFn(&Entry) -> anyhow::Result<Measured>,
    ) -> Vec<Row> {
        let missing = |entry: &Entry| entry.system.missing(&self.servers).map_or(Ok(Vec::new()), Err);
        let mut measured: Vec<Result<Vec<Measured>, String>> = entries.iter().map(missing).collect();
        for round in 1..=self.run.rounds() {
            for (entry, so_far) in entries.iter().zip(&mut measured) {
                let Ok(rounds) = so_far else { continue };
                let progress = Progress::begin(scenario, entry, round, self.run.rounds());
                match measure(entry).await {
                    Ok(one) => {
                        progress.done(&one);
                        rounds.push(one);
                    }
                    Err(error) => {
                        progress.failed(&format!("{error:#}"));
                        *so_far = Err(format!("failed: {error:#}"));
                    }
                }
            }
        }
        entries.iter().zip(measured).map(|(entry, rounds)| row(scenario, entry, rounds)).collect()
    }
}

fn row(scenario: &str, entry: &Entry, rounds: Result<Vec<Measured>, String>) -> Row {
    let empty = Row {
        scenario: scenario.into(),
        parameter: entry.parameter.clone(),
        system: entry.system.name().into(),
        guarantee: entry.system.guarantee().into(),
        ..Row::default()
    };
    let mut rounds = match rounds {
        Ok(rounds) => rounds,
        Err(reason) => return Row { not_run: Some(reason), ..empty },
    };
    let mut percentile = |permille| {
        let each: Vec<f64> = rounds.iter_mut().filter_map(|round| round.latencies.permille_ms(permille)).collect();
        median(&each)
    };
    let (p50_ms, p99_ms) = (percentile(500), percentile(990));
    let steal: Vec<f64> = rounds.iter().map(|round| round.seen.steal).collect();
    Row {
        tasks_per_s: rounds.iter().filter_map(|round| round.per_s).collect(),
        p50_ms,
        p99_ms,
        cpu: medians(rounds.iter().map(|round| &round.seen.cpu)),
        cost_us: medians(rounds.iter().map(|round| &round.cost_us)),
        steal: median(&steal).unwrap_or(0.0),
        memory_mb: medians(rounds.iter().map(|round| &round.memory_mb)),
        more: medians(rounds.iter().map(|round| &round.more)),
        ..empty
    }
}

fn medians<'a>(rounds: impl Iterator<Item = &'a BTreeMap<String, f64>>) -> BTreeMap<String, f64> {
    let mut by_name: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in rounds.flatten() {
        by_name.entry(name.clone()).or_default().push(*value);
    }
    by_name.into_iter().filter_map(|(name, values)| Some((name, median(&values)?))).collect()
}

/// A line on standard error, for whoever waits.
struct Progress {
    title: String,
    since: Instant,
}

impl Progress {
    fn begin(scenario: &str, entry: &Entry, round: u32, rounds: u32) -> Self {
        let title = format!("{scenario} {:<22} {:<15} round {round}/{rounds}", entry.parameter, entry.system.name());
        if std::io::stderr().is_terminal() {
            eprint!("{title} …\r");
            let _ = std::io::stderr().flush();
        }
        Self { title, since: Instant::now() }
    }

    fn done(&self, one: &Measured) {
        let rate = one.per_s.map_or(String::new(), |rate| format!("{rate:>10.0}/s"));
        let others = one.seen.cpu.get("others").copied().unwrap_or(0.0);
        eprintln!("{} {rate}  others {others:.2} cores, {:.0} s", self.title, self.seconds());
    }

    fn failed(&self, why: &str) {
        eprintln!("{} failed after {:.0} s: {why}", self.title, self.seconds());
    }

    fn seconds(&self) -> f64 {
        self.since.elapsed().max(Duration::from_millis(1)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_costs_what_the_serving_processes_take() {
        let cores = [("postgres", 0.5), ("api", 0.25), ("generator", 0.9), ("others", 0.1)];
        let cores = cores.map(|(name, cores)| (name.to_owned(), cores)).into();
        let costs = cost_us(&cores, 10_000.0);
        assert_eq!(
            costs.iter().map(|(name, cost)| (name.as_str(), *cost)).collect::<Vec<_>>(),
            [("all", 75.0), ("api", 25.0), ("postgres", 50.0)]
        );
        assert!(cost_us(&cores, 0.0).is_empty());
    }
}
