//! `caraway-bench`, started by `deploy/dev bench`: runs the scenarios, prints a table, writes a report and a chart.
//!
//! | part | is |
//! |---|---|
//! | `settings` | what was asked for, and where the servers and the peers are |
//! | `scenario/` | one file a question: how fast is submitting, reading, draining … |
//! | `system/` | one file a contender: how it is started, asked, and known to have finished |
//! | `load`, `http` | the load generator: closed and open loop, one thread |
//! | `statements` | the store's statements without the rest of the pipeline, in a process of their own |
//! | `proc` | processor time, memory and steal, from `/proc` |
//! | `round` | rounds in alternation, folded into rows |
//! | `report`, `table`, `chart`, `compare` | what becomes of the rows |
//!
//! Invariants: one contender runs at a time, each round in a database and a virtual host of its own, on the same
//! servers; a round counts only if every accepted task was found recorded at its end; nothing counts a big table
//! while it is measured.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints its results")]

mod chart;
mod compare;
mod echo;
mod http;
mod load;
mod numbers;
mod proc;
mod program;
mod report;
mod round;
mod scenario;
mod settings;
mod site;
mod statements;
mod system;
mod table;

use clap::Parser as _;

use crate::settings::{Command, Run};

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Echo(echo) => echo::serve(&echo),
        // one thread, so that the generator cannot take more than one core from what it measures
        Command::Run(run) => one_thread()?.block_on(measure(*run)),
        Command::Statements(round) => one_thread()?.block_on(statements::print(&round)),
    }
}

fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn measure(run: Run) -> anyhow::Result<()> {
    tokio::select! {
        done = scenario::run_all(run) => done,
        // programs are killed as they are dropped
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}
