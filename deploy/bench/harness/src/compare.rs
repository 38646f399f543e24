//! This run beside an earlier one: ratios of medians, and whether the ranges of the rounds overlap.

use std::path::Path;

use crate::{
    numbers::range,
    report::{Report, Row},
};

pub(crate) fn print(now: &Report, path: &Path) -> anyhow::Result<()> {
    let before = Report::read(path)?;
    println!("\nbeside {} (commit {}, {})", path.display(), before.machine.commit, before.made_at);
    for row in &now.rows {
        if let Some(earlier) = before.rows.iter().find(|earlier| earlier.is_like(row)) {
            println!("  {:<12} {:<24} {:<15} {}", row.scenario, row.parameter, row.system, verdict(earlier, row));
        }
    }
    Ok(())
}

fn ratio(before: Option<f64>, now: Option<f64>) -> String {
    match (before, now) {
        (Some(before), Some(now)) if before > 0.0 => format!("{:.2} ×", now / before),
        _ => "–".into(),
    }
}

fn verdict(before: &Row, now: &Row) -> String {
    if now.rate().is_none() && !now.more.is_empty() {
        let part =
            |(name, value): (&String, &f64)| format!("{name} {}", ratio(before.more.get(name).copied(), Some(*value)));
        return now.more.iter().map(part).collect::<Vec<_>>().join(", ");
    }
    let apart = match (range(&before.tasks_per_s), range(&now.tasks_per_s)) {
        (Some((_, most)), Some((least, _))) if least > most => "faster in every round",
        (Some((least, _)), Some((_, most))) if most < least => "slower in every round",
        (Some(_), Some(_)) => "the rounds overlap",
        _ => "no rates",
    };
    let (rate, p50, p99) =
        (ratio(before.rate(), now.rate()), ratio(before.p50_ms, now.p50_ms), ratio(before.p99_ms, now.p99_ms));
    let postgres = ratio(before.postgres_us(), now.postgres_us());
    format!("rate {rate}, p50 {p50}, p99 {p99}, PostgreSQL's µs a task {postgres}: {apart}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_apart_are_a_difference() {
        let row = |rates: &[f64]| Row { tasks_per_s: rates.to_vec(), ..Row::default() };
        assert_eq!(
            verdict(&row(&[10.0, 12.0]), &row(&[20.0, 24.0])),
            "rate 2.00 ×, p50 –, p99 –, PostgreSQL's µs a task –: faster in every round"
        );
        assert!(verdict(&row(&[10.0, 12.0]), &row(&[11.0, 24.0])).ends_with("the rounds overlap"));
        assert!(verdict(&row(&[10.0]), &row(&[9.0])).ends_with("slower in every round"));
        assert!(verdict(&row(&[]), &row(&[9.0])).ends_with("no rates"));
    }
    #[test]
    fn costs_are_compared_where_there_is_no_rate() {
        let row = |total| Row { more: [("total µs".to_owned(), total)].into(), ..Row::default() };
        assert_eq!(verdict(&row(40.0), &row(30.0)), "total µs 0.75 ×");
    }
}
