//! Logs and metrics of both binaries.

mod flood;
mod logs;
mod metrics;

pub use logs::{LogFormat, init_logs};
pub use metrics::{Metrics, names};
