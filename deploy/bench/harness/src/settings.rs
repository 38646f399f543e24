//! What was asked for, and where the servers, the programs and the peers are: `deploy/dev bench` knows and tells.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, ValueEnum};

use crate::system::System;

/// Measures Caraway beside its peers, on servers of its own
#[derive(Parser)]
#[command(name = "deploy/dev bench", bin_name = "deploy/dev bench")]
pub(crate) enum Command {
    /// Run scenarios
    Run(Box<Run>),
    /// Serve a body and nothing else: what the HTTP server alone can do
    #[command(hide = true)]
    Echo(Echo),
    /// Run the store's statements alone, and print what they cost
    #[command(hide = true)]
    Statements(Statements),
}

#[derive(Args)]
pub(crate) struct Run {
    /// What to measure; without a name, everything
    #[arg(value_enum)]
    pub(crate) scenarios: Vec<ScenarioName>,
    /// Beside whom; without a name, beside all whom a scenario knows
    #[arg(long = "peer", value_enum, value_name = "NAME")]
    peers: Vec<System>,
    /// How often; contenders take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seconds of load in a round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// An earlier report to compare with
    #[arg(long, value_name = "REPORT")]
    pub(crate) compare: Option<PathBuf>,
    /// The caraway-bench of another working copy, which takes turns with this one in `statements`
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) beside: Option<PathBuf>,
    /// Only these parameters of the scenarios, such as 64
    #[arg(long = "only", value_name = "PARAMETER")]
    pub(crate) only: Vec<String>,
    /// The short run of a change's checks: submit at 64 connections beside limit, one round
    #[arg(long, conflicts_with_all = ["peers", "rounds", "seconds", "only", "beside"])]
    pub(crate) ci: bool,
    #[command(flatten)]
    pub(crate) paths: Paths,
}

#[derive(Clone, Args)]
pub(crate) struct Paths {
    /// A folder with `api` and `worker` of another commit, which take turns with this one's as `caraway-before`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) before: Option<PathBuf>,
    // What follows is set by `deploy/dev bench`, not by people.
    #[arg(long, env = "CARAWAY_POSTGRES_URL", hide = true)]
    pub(crate) postgres_url: String,
    #[arg(long, env = "CARAWAY_AMQP_URL", hide = true)]
    pub(crate) amqp_url: String,
    #[arg(long, env = "CARAWAY_REDIS_URL", hide = true)]
    pub(crate) redis_url: String,
    /// The working copy
    #[arg(long, env = "BENCH_ROOT", hide = true)]
    pub(crate) root: PathBuf,
    /// Where reports go
    #[arg(long, env = "BENCH_STATE", hide = true)]
    pub(crate) state: PathBuf,
    /// The state of the servers
    #[arg(long, env = "CARAWAY_DEV_DIR", hide = true)]
    pub(crate) servers: PathBuf,
    /// Where `api` and `worker` are
    #[arg(long, env = "BENCH_TARGET", hide = true)]
    pub(crate) target: PathBuf,
    /// The program `limit`
    #[arg(long, env = "BENCH_LIMIT", hide = true)]
    pub(crate) limit: PathBuf,
    /// A Python environment with Celery and `FastAPI`; `no: <why>` where there is none
    #[arg(long, env = "BENCH_PYTHON", default_value = "no: not installed", hide = true)]
    pub(crate) python: String,
    /// A folder with BullMQ and Fastify; `no: <why>` where there is none
    #[arg(long, env = "BENCH_NODE", default_value = "no: not installed", hide = true)]
    pub(crate) node: String,
}

#[derive(Args)]
pub(crate) struct Echo {
    #[arg(long)]
    pub(crate) bind: SocketAddr,
    /// Of the body
    #[arg(long)]
    pub(crate) bytes: usize,
}

#[derive(Args)]
pub(crate) struct Statements {
    /// Of a database that is empty
    #[arg(long)]
    pub(crate) url: String,
    /// In a batch
    #[arg(long)]
    pub(crate) rows: usize,
    /// How many are measured
    #[arg(long)]
    pub(crate) tasks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ScenarioName {
    /// One task a request, over 1 to 256 connections
    Submit,
    /// 100 and 1,000 tasks a request
    Batch,
    /// Batches of tasks of five seconds over 16 idle workers: how long until each starts
    BatchSlow,
    /// One after the other: until 202, until the result; and 200 a second
    Latency,
    /// Reads by id, again and again or each once
    Status,
    /// Tasks queued while no worker runs, then drained
    Backlog,
    /// `submit` and reads beside two million finished tasks
    BigTable,
    /// 1 to 8 worker processes of 10 slots
    Scale,
    /// Thumbnails
    Images,
    /// Memory and processor time of doing nothing
    Idle,
    /// What the store's statements cost PostgreSQL, without the rest; beside limit's, and with --beside another commit's
    Statements,
}

impl Run {
    pub(crate) fn wants(&self, scenario: ScenarioName) -> bool {
        if self.ci {
            scenario == ScenarioName::Submit
        } else {
            self.scenarios.is_empty() || self.scenarios.contains(&scenario)
        }
    }

    pub(crate) fn rounds(&self) -> u32 {
        if self.ci { 1 } else { self.rounds }
    }

    pub(crate) fn seconds(&self) -> Duration {
        Duration::from_secs(if self.ci { 4 } else { self.seconds })
    }

    /// Caraway, and of `systems` those that are to run beside it.
    pub(crate) fn contenders(&self, systems: &[System]) -> Vec<System> {
        let beside = |system: &&System| match system {
            System::CarawayHandOver => self.peers.contains(system),
            System::CarawayBefore => self.paths.before.is_some(),
            System::Caraway | System::Echo | System::Beside => true,
            System::Limit if self.ci => true,
            _ if self.ci => false,
            _ => self.peers.is_empty() || self.peers.contains(system),
        };
        let others = systems.contains(&System::Caraway).then_some([System::CarawayHandOver, System::CarawayBefore]);
        systems.iter().chain(others.iter().flatten()).filter(beside).copied().collect()
    }

    /// Of a scenario's parameters those that are to run.
    pub(crate) fn parameters<'a>(&self, all: &[&'a str]) -> Vec<&'a str> {
        let wanted = |parameter: &&&str| {
            if self.ci {
                **parameter == "64"
            } else {
                self.only.is_empty() || self.only.iter().any(|only| only == *parameter)
            }
        };
        all.iter().filter(wanted).copied().collect()
    }
}
