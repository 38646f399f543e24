//! The built-in worker: Caraway's own tasks, and nothing else of substance.

use caraway_worker::{Worker, WorkerArgs};
use clap::Parser;

mod handlers;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let failpoints = fail::FailScenario::setup();
    let args = WorkerArgs::parse();
    let demo = if args.demo_tasks { handlers::demo()? } else { Vec::new() };
    let built_in = handlers::built_in(&args)?;
    let served = Worker::new(args).register_all(built_in).register_all(demo).run().await;
    failpoints.teardown();
    served
}
