//! The scenarios, one file each. A scenario turns what was asked for into entries, and measures one round of one entry.

mod backlog;
mod batch;
mod batch_slow;
mod big_table;
mod idle;
mod images;
mod latency;
mod scale;
mod statements;
mod status;
mod submit;

use crate::{
    chart, compare,
    report::{Machine, Report, Row},
    round::Entry,
    settings::{Run, ScenarioName},
    site::Servers,
    system::System,
    table,
};

/// What every scenario has at hand.
pub(crate) struct Bench {
    pub(crate) run: Run,
    pub(crate) servers: Servers,
}

impl Bench {
    /// An entry for each parameter and each of the systems that are to run, parameters outside.
    pub(crate) fn entries(&self, parameters: &[&str], systems: &[System]) -> Vec<Entry> {
        let systems = self.run.contenders(systems);
        let of = |parameter: &&str| {
            let parameter = (*parameter).to_owned();
            systems
                .iter()
                .map(move |system| Entry { parameter: parameter.clone(), system: *system })
                .collect::<Vec<_>>()
        };
        self.run.parameters(parameters).iter().flat_map(of).collect()
    }
}

pub(crate) async fn run_all(run: Run) -> anyhow::Result<()> {
    let paths = run.paths.clone();
    let machine = Machine::this(&paths.root);
    let bench = Bench { servers: Servers::new(paths)?, run };
    let mut report = Report {
        made_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        machine,
        seconds: bench.run.seconds().as_secs(),
        rows: Vec::new(),
    };
    let mut written = None;
    for scenario in ALL.into_iter().filter(|scenario| bench.run.wants(*scenario)) {
        report.rows.extend(rows(&bench, scenario).await);
        // after each, so that an interrupted run has told what it knew
        written = Some(report.write(&bench.servers.paths.state)?);
        std::fs::write(bench.servers.paths.state.join("last.svg"), chart::svg(&report))?;
    }
    table::print(&report);
    if let Some(earlier) = &bench.run.compare {
        compare::print(&report, earlier)?;
    }
    if let Some(path) = written {
        println!("\nreport: {}, chart: {}", path.display(), path.with_file_name("last.svg").display());
    }
    bench.servers.remove_all().await?;
    anyhow::ensure!(report.rows.iter().any(|row| row.not_run.is_none()), "nothing could be measured");
    Ok(())
}

/// In the order in which they run: the quick ones first.
const ALL: [ScenarioName; 11] = [
    ScenarioName::Statements,
    ScenarioName::Submit,
    ScenarioName::Batch,
    ScenarioName::BatchSlow,
    ScenarioName::Latency,
    ScenarioName::Status,
    ScenarioName::Idle,
    ScenarioName::Scale,
    ScenarioName::Images,
    ScenarioName::BigTable,
    ScenarioName::Backlog,
];

async fn rows(bench: &Bench, scenario: ScenarioName) -> Vec<Row> {
    match scenario {
        ScenarioName::Statements => statements::run(bench).await,
        ScenarioName::Submit => submit::run(bench).await,
        ScenarioName::Batch => batch::run(bench).await,
        ScenarioName::BatchSlow => batch_slow::run(bench).await,
        ScenarioName::Latency => latency::run(bench).await,
        ScenarioName::Status => status::run(bench).await,
        ScenarioName::Idle => idle::run(bench).await,
        ScenarioName::Scale => scale::run(bench).await,
        ScenarioName::Images => images::run(bench).await,
        ScenarioName::BigTable => big_table::run(bench).await,
        ScenarioName::Backlog => backlog::run(bench).await,
    }
}
