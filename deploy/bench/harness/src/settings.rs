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
    /// Only these parameters of the scenarios, such as 64
    #[arg(long = "only", value_name = "PARAMETER")]
    pub(crate) only: Vec<String>,
    /// The short run of a change's checks: submit at 64 connections beside limit, one round
    #[arg(long, conflicts_with_all = ["peers", "rounds", "seconds", "only"])]
    pub(crate) ci: bool,
    #[command(flatten)]
    pub(crate) paths: Paths,
}

/// Set by `deploy/dev bench`, not by people.
#[derive(Clone, Args)]
pub(crate) struct Paths {
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ScenarioName {
    Submit,
    Batch,
    Latency,
    Status,
    Backlog,
    BigTable,
    Scale,
    Images,
    Idle,
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
            System::Caraway | System::Echo => true,
            System::Limit if self.ci => true,
            _ if self.ci => false,
            _ => self.peers.is_empty() || self.peers.contains(system),
        };
        systems.iter().filter(beside).copied().collect()
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
