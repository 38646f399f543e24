//! F55: random soup. Several faults at a time, for minutes; then everything is healed, comes to rest, and is checked.

use std::{sync::Arc, time::Duration};

use caraway_testkit::Stack;

use crate::drill::Outcome;

pub(crate) async fn run(_stack: &Arc<Stack>, _seed: u64, _lasts: Duration) -> Outcome {
    todo!()
}
