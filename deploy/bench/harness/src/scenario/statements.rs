//! `statements`: what the store's three statements cost PostgreSQL, and `limit`'s two, without the rest of the pipeline: processor
//! time of the backends, commits not flushed, so many rows a batch. Rounds are short and there is no rate: figures are microseconds
//! a task. With `--beside`, the store of another working copy takes turns with this one's.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    numbers::Latencies,
    program::Launch,
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::System,
};

/// In a round. 20,000 are a third of a second to a second of a backend's time.
const TASKS: &str = "20000";

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let systems: &[System] = if bench.run.beside.is_some() {
        &[System::Caraway, System::Beside, System::Limit]
    } else {
        &[System::Caraway, System::Limit]
    };
    let mut entries = bench.entries(&["25", "200"], systems);
    // they have no such program: the one that has is `--beside`
    entries.retain(|entry| systems.contains(&entry.system));
    bench.alternate("statements", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let site = bench.servers.site(entry.system.name(), false).await?;
    let myself = std::env::current_exe()?;
    let program: &Path = match entry.system {
        System::Limit => &bench.servers.paths.limit,
        System::Beside => bench.run.beside.as_deref().context("nothing to run beside")?,
        _ => &myself,
    };
    let launch = Launch::new("statements", program)?;
    let arguments = ["statements", "--url", &site.postgres_url, "--rows", &entry.parameter, "--tasks", TASKS];
    let (program, input, output) = launch.arguments(&arguments).spawn_talking(site.folder())?;
    let watched = bench.servers.watched()?.with_program(&program);
    let watch = watched.begin()?;
    let line = BufReader::new(output).lines().next_line().await?;
    let line = line.with_context(|| format!("it measured nothing, see {}", site.folder().display()))?;
    let costs: BTreeMap<String, f64> = serde_json::from_str(&line)?;
    let measured = Measured::new(0.0, Latencies::default(), &watch, &watched)?.without_rate();
    drop(input); // it was to wait until it had been looked at
    program.stop().await?;
    let total = costs.values().sum();
    Ok(costs
        .iter()
        .fold(measured, |measured, (name, cost)| measured.with(&format!("{name} µs"), *cost))
        .with("total µs", total))
}
