//! `sleep(seconds, result)`: does nothing for a while, says how far it is, and returns `result`, if it was given one.

use std::time::Duration;

use caraway_worker::{Context, Failure};
use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

#[derive(Deserialize)]
pub(crate) struct Args {
    seconds: f64,
    #[serde(default)]
    result: Option<Box<RawValue>>,
}

pub(crate) async fn run(args: Args, context: Context) -> Result<Box<RawValue>, Failure> {
    let invalid = |_| Failure::fatal("invalid_arguments", "seconds must be a finite number that is not negative");
    let whole = Duration::try_from_secs_f64(args.seconds).map_err(invalid)?;
    context.progress(&json!({ "message": "sleeping", "seconds": args.seconds }));
    tokio::select! {
        () = tokio::time::sleep(whole) => match args.result {
            Some(result) => Ok(result),
            None => Ok(to_raw_value(&json!({ "slept": args.seconds }))?),
        },
        () = context.stopped().cancelled() => Err(Failure::retryable("stopped", "woken early")),
    }
}
