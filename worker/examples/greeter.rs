//! A worker of one's own: a handler, its arguments, and one line to register it. Run it beside the built-in worker:
//!
//! ```sh
//! source .dev/env && cargo run --example greeter
//! curl -X POST "$CARAWAY_URL/v1/tasks" -H 'Content-Type: application/json' -d '{"name": "greet", "args": ["Ada"]}'
//! ```

use caraway_worker::{Context, Failure, Task, Worker};
use serde::Deserialize;

#[derive(Deserialize)]
struct Greet {
    name: String,
}

async fn greet(args: Greet, _: Context) -> Result<String, Failure> {
    Ok(format!("hello, {}", args.name))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Worker::from_args().register(Task::new("greet", greet)?).run().await
}
