//! The chart: a bar for each row's median rate, a whisker from its slowest round to its fastest.

use std::fmt::Write as _;

use crate::{
    numbers::range,
    report::{Report, Row},
};

const WIDTH: f64 = 980.0;
const LABELS: f64 = 330.0;
const BARS: f64 = WIDTH - LABELS - 110.0;
const STEP: f64 = 22.0;

pub(crate) fn svg(report: &Report) -> String {
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.rate().is_some()).collect();
    let mut body = String::new();
    let mut top = 40.0;
    let mut scenario = "";
    for row in &rows {
        if scenario != row.scenario {
            scenario = &row.scenario;
            top += STEP;
            let _ = write!(body, "<text x='10' y='{top}' class='t'>{scenario}, per second</text>");
            top += STEP / 2.0;
        }
        let most =
            rows.iter().filter(|other| other.scenario == row.scenario).filter_map(|other| range(&other.tasks_per_s));
        let most = most.map(|(_, most)| most).fold(1.0, f64::max);
        bar(&mut body, row, top, most);
        top += STEP;
    }
    let height = top + STEP;
    let machine = &report.machine;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'>\
         <style>text{{font:13px sans-serif;fill:#222}}.t{{font-weight:bold}}.s{{font-size:11px;fill:#666}}</style>\
         <rect width='100%' height='100%' fill='#fff'/><text x='10' y='22' class='s'>{} cores of {}, {:.0} GiB, {}; \
         medians, whiskers from the slowest round to the fastest</text>{body}</svg>\n",
        machine.cores,
        escape(&machine.processor),
        machine.memory_gib,
        escape(&report.made_at)
    )
}

fn bar(body: &mut String, row: &Row, top: f64, most: f64) {
    let Some((rate, (least, fastest))) = row.rate().zip(range(&row.tasks_per_s)) else { return };
    let at = |value: f64| LABELS + value / most * BARS;
    let (middle, colour) = (top + STEP / 2.0, colour(&row.system));
    let label = escape(&format!("{} · {}", row.parameter, row.system));
    let _ = write!(
        body,
        "<text x='{}' y='{}' text-anchor='end'>{label}</text>\
         <rect x='{LABELS}' y='{}' width='{:.1}' height='14' fill='{colour}'/>\
         <path d='M{:.1} {middle}H{:.1}' stroke='#222'/><text x='{:.1}' y='{}'>{rate:.0}</text>",
        LABELS - 8.0,
        middle + 4.0,
        middle - 7.0,
        at(rate) - LABELS,
        at(least),
        at(fastest),
        at(fastest) + 6.0,
        middle + 4.0,
    );
}

fn colour(system: &str) -> &'static str {
    match system {
        "caraway" => "#c2622d",
        "limit" => "#8a8a8a",
        "echo" => "#bdbdbd",
        name if name.starts_with("celery") => "#5a8f3d",
        _ => "#3d6e8f",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Machine;

    #[test]
    fn draws_a_bar_for_every_row_that_has_a_rate() {
        let machine = Machine {
            processor: "a < b".into(),
            cores: 2,
            memory_gib: 24.0,
            load_before: String::new(),
            commit: String::new(),
        };
        let row = |rates: &[f64]| Row {
            scenario: "submit".into(),
            system: "caraway".into(),
            tasks_per_s: rates.to_vec(),
            ..Row::default()
        };
        let rows = vec![row(&[10.0, 20.0, 30.0]), row(&[]), row(&[5.0])];
        let chart = svg(&Report { made_at: "now".into(), machine, seconds: 1, rows });
        assert_eq!(chart.matches("height='14'").count(), 2);
        assert!(chart.contains("a &lt; b") && chart.contains(">20</text>"));
    }
}
