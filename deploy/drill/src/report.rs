//! What people read: a line for each drill as it ends, a table at the end, and a folder with the same for machines.

use std::{fmt::Write as _, fs, path::PathBuf, time::Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;

use crate::{chart::chart, fault::NotRun, outcome::Outcome};

const HEAD: &str = "| fault | what | hit | accepted | finished | lost | executed twice | recorded twice | wrong | unknown answers | recovery s (promised) | took s | verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// The report of one call.
pub(crate) struct Report {
    folder: PathBuf,
    seed: u64,
    began: Instant,
    outcomes: Vec<Outcome>,
    not_run: Vec<String>,
}

impl Report {
    /// In a new folder below `reports`.
    pub(crate) fn new(reports: &std::path::Path, seed: u64) -> anyhow::Result<Self> {
        let name = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let folder = reports.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder, seed, began: Instant::now(), outcomes: Vec::new(), not_run: Vec::new() })
    }

    /// A drill has ended.
    pub(crate) fn add(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        println!("{}", line(&outcome));
        outcome.notes.iter().for_each(|note| println!("      {note}"));
        for finding in outcome.findings.iter().take(8) {
            println!("      {}: {}", finding.invariant, finding.text);
        }
        if outcome.findings.len() > 8 {
            println!("      … and {} more findings", outcome.findings.len() - 8);
        }
        if !outcome.passed() {
            println!("      again with: deploy/dev drill {} --seed {}", outcome.id, outcome.seed);
            for timeline in outcome.timelines.iter().take(1) {
                println!("{timeline}");
            }
        }
        self.outcomes.push(outcome);
        self.write()
    }

    /// A fault cannot be made here.
    pub(crate) fn not_run(&mut self, missing: &NotRun) -> anyhow::Result<()> {
        println!("{:<5} {:<52} NOT RUN: {}", missing.id, missing.name, missing.reason);
        self.not_run.push(format!(
            "| {} | {} | not run: {} |{}",
            missing.id,
            missing.name,
            missing.reason,
            " |".repeat(10)
        ));
        self.write()
    }

    /// Whether everything passed.
    pub(crate) fn finish(&self) -> anyhow::Result<bool> {
        self.write()?;
        let failed = self.outcomes.iter().filter(|outcome| !outcome.passed()).count();
        let took = self.began.elapsed().as_secs();
        println!("\n{}", table(&self.outcomes));
        println!("\n{} drills, {failed} failed, {} not run, {took} s", self.outcomes.len(), self.not_run.len());
        println!("report: {}", self.folder.join("report.md").display());
        Ok(failed == 0)
    }

    fn write(&self) -> anyhow::Result<()> {
        let (json, not_run) = (json!({ "seed": self.seed, "drills": self.outcomes }), self.not_run.join("\n"));
        fs::write(self.folder.join("report.json"), serde_json::to_vec_pretty(&json)?)?;
        let rows: Vec<String> = self.outcomes.iter().map(row).collect();
        let mut text = format!("# Fault drill, seed {}\n\n{HEAD}\n{}\n{not_run}\n", self.seed, rows.join("\n"));
        text.push_str("\n![throughput](throughput.svg)\n");
        let told =
            |outcome: &&Outcome| !outcome.findings.is_empty() || !outcome.notes.is_empty() || outcome.marks.len() > 1;
        for outcome in self.outcomes.iter().filter(told) {
            let _ = write!(text, "\n## {}\n\n", outcome.id);
            for note in &outcome.notes {
                let _ = write!(text, "{note}\n\n");
            }
            for finding in &outcome.findings {
                let _ = writeln!(text, "- **{}** {}: {}", finding.invariant, task(finding.task), finding.text);
            }
            for timeline in &outcome.timelines {
                let _ = write!(text, "\n```\n{timeline}\n```\n");
            }
            schedule(outcome, &mut text);
        }
        fs::write(self.folder.join("report.md"), text)?;
        fs::write(self.folder.join("throughput.svg"), chart(&self.outcomes))?;
        Ok(())
    }
}

/// What was done and when, where that was more than one thing.
fn schedule(outcome: &Outcome, text: &mut String) {
    let Some(began) = outcome.samples.first().filter(|_| outcome.marks.len() > 1) else { return };
    text.push_str("\n| fault | from s | to s |\n|---|---|---|\n");
    let seconds = |ms: u64| ms.saturating_sub(began.at_ms) / 1000;
    for mark in &outcome.marks {
        let _ = writeln!(text, "| {} | {} | {} |", mark.name, seconds(mark.from_ms), seconds(mark.to_ms));
    }
}

/// For a terminal: what the report says, without words.
fn table(outcomes: &[Outcome]) -> String {
    let row = |cells: [String; 10]| {
        let [fault, cells @ ..] = cells;
        format!("{fault:<26}{}", cells.map(|cell| format!("{cell:>10}")).concat())
    };
    let head =
        ["fault", "accepted", "finished", "lost", "executed", "recorded", "wrong", "unknown", "recovery", "verdict"];
    let more = ["", "", "", "", "twice", "twice", "", "answers", "s", ""];
    let mut lines = vec![row(head.map(String::from)), row(more.map(String::from))];
    lines.extend(outcomes.iter().map(|outcome| {
        let figures = &outcome.figures;
        let counts = [
            figures.accepted,
            figures.finished,
            figures.lost,
            figures.executed_twice,
            figures.recorded_twice,
            figures.wrong,
            figures.unknown,
        ];
        let [accepted, finished, lost, twice, recorded, wrong, unknown] = counts.map(|count| count.to_string());
        let (recovery, verdict) = (recovery(outcome), verdict(outcome).to_owned());
        row([outcome.id.clone(), accepted, finished, lost, twice, recorded, wrong, unknown, recovery, verdict])
    }));
    lines.join("\n")
}

fn task(id: Option<uuid::Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn recovery(outcome: &Outcome) -> String {
    outcome.recovered_s.map_or("-".into(), |seconds| format!("{seconds:.1}"))
}

fn verdict(outcome: &Outcome) -> &'static str {
    if outcome.passed() { "ok" } else { "FAILED" }
}

fn line(outcome: &Outcome) -> String {
    let figures = &outcome.figures;
    format!(
        "{:<5} {:<52} {:<6} accepted {:>5}, lost {}, executed twice {}, recorded twice {}, wrong {}, recovery {} s (<= {}), \
         {:.0} s; {}",
        outcome.id,
        outcome.name,
        verdict(outcome),
        figures.accepted,
        figures.lost,
        figures.executed_twice,
        figures.recorded_twice,
        figures.wrong,
        recovery(outcome),
        outcome.within_s,
        outcome.took_s,
        outcome.hit,
    )
}

fn row(outcome: &Outcome) -> String {
    let figures = &outcome.figures;
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} ({}) | {:.0} | {} |",
        outcome.id,
        outcome.name,
        outcome.hit,
        figures.accepted,
        figures.finished,
        figures.lost,
        figures.executed_twice,
        figures.recorded_twice,
        figures.wrong,
        figures.unknown,
        recovery(outcome),
        outcome.within_s,
        outcome.took_s,
        verdict(outcome),
    )
}
