//! `api`: Caraway's HTTP front door. It accepts tasks, answers with their ids and tells their state; it runs none.
//!
//! Invariants: a task was committed to PostgreSQL before its 202 is written; every error is a problem document of the
//! one catalogue in `problem/code.rs`; no SQL, no AMQP and no Redis here, these live in `caraway_shared`.

mod accept;
mod callers;
mod conditional;
mod config;
mod cursor;
mod data;
mod document;
mod extract;
mod health;
mod keys;
mod known;
mod leases;
mod middleware;
mod objects;
mod open_door;
mod openapi;
mod origins;
mod pages;
mod problem;
mod quotas;
mod routes;
mod shared_read;
mod shares;
mod shutdown;
mod startup;
mod state;
mod telling;
mod waiting;

use std::io::Write as _;

use caraway_shared::{
    config::{Schema, prepare},
    telemetry::{Metrics, init_logs},
};

use self::{config::Job, openapi::Document, startup::Application};

/// Two threads carry the database, the broker and the batches; HTTP has threads of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let _crash_points = fail::FailScenario::setup(); // does nothing unless the feature is compiled in
    let job = Job::parse();
    if let Some(common) = job.common() {
        init_logs(common.log_format, &common.loglevel)?;
    }
    match job {
        Job::Keys(keys) => Box::pin(keys.run()).await,
        Job::Serve(serve) => Box::pin(Application::build(*serve, Metrics::install()?)?.run_until_stopped()).await,
        Job::Migrate(common) => {
            prepare(&common.store("caraway-api migrate")?, Schema::Migrate, common.cell).await?;
            Ok(())
        }
        Job::Openapi => Ok(std::io::stdout().write_all(Document::pretty()?.as_bytes())?),
    }
}
