//! `fail(times)`: fails that many attempts, then succeeds.

use caraway_worker::{Context, Failure};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Args {
    times: i32,
}

pub(crate) async fn run(args: Args, context: Context) -> Result<Value, Failure> {
    let attempt = context.attempt();
    if attempt <= args.times {
        return Err(Failure::retryable("asked_to_fail", format!("attempt {attempt} of {} that fail", args.times)));
    }
    Ok(json!({ "attempts": attempt }))
}
