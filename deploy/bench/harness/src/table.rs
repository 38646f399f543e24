//! The table that is printed.

use std::collections::BTreeMap;

use crate::{numbers::range, report::Report};

pub(crate) fn print(report: &Report) {
    let machine = &report.machine;
    println!(
        "\n{} cores of {}, {:.0} GiB, load {} at the start, commit {}, {} s of load a round",
        machine.cores, machine.processor, machine.memory_gib, machine.load_before, machine.commit, report.seconds
    );
    let mut title = String::new();
    for row in &report.rows {
        if title != row.scenario {
            title.clone_from(&row.scenario);
            println!("\n{title}");
            println!(
                "  {:<24} {:<15} {:>9} {:>17} {:>9} {:>9} {:>6} {:>6}  µs a task; cores; megabytes by process; more",
                "parameter", "system", "per s", "least – most", "p50 ms", "p99 ms", "pg µs", "steal"
            );
        }
        let start = format!("  {:<24} {:<15}", row.parameter, row.system);
        if let Some(reason) = &row.not_run {
            println!("{start} not run: {reason}");
            continue;
        }
        let (rate, spread) = (number(row.rate()), range(&row.tasks_per_s));
        let spread = spread.map_or(String::new(), |(least, most)| format!("{least:.0} – {most:.0}"));
        let steal = format!("{:.1}%", row.steal * 100.0);
        let (p50, p99) = (milliseconds(row.p50_ms), milliseconds(row.p99_ms));
        let postgres = row.postgres_us().map_or("–".into(), |cost| format!("{cost:.1}"));
        let (costs, cpu) = (list(&row.cost_us, 1), list(&row.cpu, 2));
        let (memory, more) = (list(&row.memory_mb, 0), list(&row.more, 1));
        println!(
            "{start} {rate:>9} {spread:>17} {p50:>9} {p99:>9} {postgres:>6} {steal:>6}  {costs}; {cpu}; {memory}; {more}"
        );
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.0}"))
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.2}"))
}

fn list(values: &BTreeMap<String, f64>, digits: usize) -> String {
    values.iter().map(|(name, value)| format!("{name} {value:.digits$}")).collect::<Vec<_>>().join(", ")
}
