//! `echo(message)`: gives back any JSON, byte for byte.

use caraway_worker::{Context, Failure};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(crate) struct Args {
    message: Box<RawValue>,
}

pub(crate) async fn run(args: Args, _: Context) -> Result<Box<RawValue>, Failure> {
    Ok(args.message)
}
