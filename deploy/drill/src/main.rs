//! `deploy/dev drill`: breaks a running Caraway in every way of the catalogue, and shows that nothing that was accepted
//! is lost, doubled in the record, or wrong.
//!
//! | part | is |
//! |---|---|
//! | `fault`, `faults/` | the catalogue: how each fault is made, what must show that it happened, what is promised |
//! | `world` | private servers, APIs, workers, a proxy on every way between them |
//! | `tasks`, `load`, `client` | a seeded mix of tasks, and clients that write down what they hear |
//! | `drill`, `outcome` | one fault from load to verdict |
//! | `history`, `check` | what was written down, and the pure checker |
//! | `controls` | builds with one rule broken, which the checker must catch by name |
//! | `soak` | several faults at a time, for minutes |
//! | `report`, `chart`, `timeline` | what people read |
#![expect(clippy::print_stdout, reason = "the drill talks to people")]
#![expect(clippy::indexing_slicing, reason = "serde_json's index answers null; a drill that panics is a failed drill")]

mod chart;
mod check;
mod client;
mod clock;
mod controls;
mod drill;
mod fault;
mod faults;
mod history;
mod load;
mod outcome;
mod report;
mod rows;
mod samples;
mod soak;
mod tasks;
mod timeline;
mod world;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::ensure;
use caraway_testkit::Stack;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    controls::Control,
    drill::Options,
    fault::{CI, Fault, NotRun, catalogue},
    faults::hand_over::HAND_OVER,
    report::Report,
};

/// Breaks a running Caraway, and shows that nothing is lost
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(name = "deploy/dev drill")]
struct Cli {
    /// Faults by their number, such as F3 F21, and controls by their name; see --list
    faults: Vec<String>,
    /// Every fault of the catalogue, one after the other
    #[arg(long)]
    all: bool,
    /// What fits into nine minutes: one fault of each kind of recovery, and two controls
    #[arg(long)]
    ci: bool,
    /// Builds with one rule broken: the checker must catch each
    #[arg(long)]
    controls: bool,
    /// Several faults at a time, for so many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<u32>,
    /// All chance comes from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// With workers that take tasks over at once
    #[arg(long)]
    hand_over: bool,
    /// What there is
    #[arg(long)]
    list: bool,
    /// Where reports go
    #[arg(long, env = "CARAWAY_DRILL_DIR", default_value = ".dev/drill")]
    reports: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if cli.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        tokio::select! {
            done = run(&cli) => done,
            _ = term.recv() => Ok(ExitCode::from(143)), // servers and programs end with what is dropped here
            _ = int.recv() => Ok(ExitCode::from(130)),
        }
    })
}

fn list() {
    for fault in catalogue() {
        let ci = if CI.contains(&fault.id) { "  (ci)" } else { "" };
        println!("{:<5} {}{ci}", fault.id, fault.name);
    }
    println!("F55   random soup: several faults at a time (--minutes M)");
    for control in controls::all() {
        let wanted = control.betrayed_by.map_or("nothing".into(), |invariant| invariant.to_string());
        let ci = if CI.contains(&control.name) { "  (ci)" } else { "" };
        println!("{:<26} negative control: must break {wanted}{ci}", control.name);
    }
}

async fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    ensure!(fail::has_failpoints(), "the drill needs crash points: run it by deploy/dev drill");
    let (faults, controls) = chosen(cli)?;
    ensure!(
        !faults.is_empty() || !controls.is_empty() || cli.minutes.is_some(),
        "name faults, or say --all, --ci, --controls or --minutes M; --list tells them"
    );
    let mut report = Report::new(&cli.reports, cli.seed)?;
    let missing: Vec<NotRun> = faults::clock::missing().into_iter().collect();
    let mut options = Options::seeded(cli.seed);
    if cli.hand_over {
        options.setup.variables.push((HAND_OVER.into(), "true".into()));
    }
    let mut stack = Stand::default();
    for fault in &faults {
        if let Some(reason) = missing.iter().find(|missing| missing.id == fault.id) {
            report.not_run(reason)?;
            continue;
        }
        let mut outcome = drill::run(fault, &stack.get().await, &options).await;
        if cli.hand_over {
            outcome.require_both_paths();
        }
        stack.keep_if(outcome.passed());
        report.add(outcome)?;
    }
    for control in &controls {
        let outcome = controls::run(control, &stack.get().await, cli.seed).await;
        stack.keep_if(false);
        report.add(outcome)?;
    }
    if let Some(minutes) = cli.minutes {
        let outcome = soak::run(&stack.get().await, cli.seed, Duration::from_mins(1) * minutes).await;
        report.add(outcome)?;
    }
    let passed = report.finish()?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(cli: &Cli) -> anyhow::Result<(Vec<Fault>, Vec<Control>)> {
    let (faults, controls) = (catalogue(), controls::all());
    for name in &cli.faults {
        let known = faults.iter().any(|fault| fault.id.eq_ignore_ascii_case(name));
        ensure!(known || controls.iter().any(|control| control.name == name), "nothing is called {name:?}; see --list");
    }
    let named = |id: &str| cli.ci && CI.contains(&id) || cli.faults.iter().any(|name| name.eq_ignore_ascii_case(id));
    Ok((
        faults.into_iter().filter(|fault| cli.all || named(fault.id)).collect(),
        controls.into_iter().filter(|control| cli.controls || named(control.name)).collect(),
    ))
}

/// The servers: drills use them one after the other, as long as each leaves them whole.
#[derive(Default)]
struct Stand(Option<Arc<Stack>>);

impl Stand {
    async fn get(&mut self) -> Arc<Stack> {
        if let Some(stack) = &self.0 {
            return Arc::clone(stack);
        }
        let stack = Arc::new(Stack::start("drill").await);
        self.0 = Some(Arc::clone(&stack));
        stack
    }

    fn keep_if(&mut self, whole: bool) {
        if !whole {
            self.0 = None;
        }
    }
}
