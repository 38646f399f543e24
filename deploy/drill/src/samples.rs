//! Throughput over time, as seen from outside: twice a second, how much was accepted and how much has ended.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::oneshot, task::JoinHandle, time::interval};

use crate::{clock::now_ms, rows::Rows};

const EVERY: Duration = Duration::from_millis(500);

/// One look.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) at_ms: u64,
    pub(crate) accepted: u64,
    /// None while the database does not answer.
    pub(crate) finished: Option<i64>,
}

/// Looks until it is stopped.
pub(crate) struct Sampler {
    stop: oneshot::Sender<()>,
    looking: JoinHandle<Vec<Sample>>,
}

impl Sampler {
    pub(crate) fn start(id: &'static str, rows: Rows, accepted: Arc<AtomicU64>) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let looking = tokio::spawn(async move {
            let mut samples = Vec::new();
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = tick.tick() => (),
                    _ = &mut stopped => return samples,
                }
                let counts = tokio::time::timeout(EVERY * 2, rows.counts()).await;
                let finished = counts.ok().and_then(Result::ok).map(|counts| counts.finished);
                progress(id, samples.len(), accepted.load(Ordering::Acquire), finished);
                samples.push(Sample { at_ms: now_ms(), accepted: accepted.load(Ordering::Acquire), finished });
            }
        });
        Self { stop, looking }
    }

    pub(crate) async fn stop(self) -> Vec<Sample> {
        let _ = self.stop.send(());
        self.looking.await.unwrap_or_default()
    }
}

/// One line that is written over, for people who watch; a log gets none of it.
fn progress(id: &str, looks: usize, accepted: u64, finished: Option<i64>) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        let finished = finished.map_or("the database is away".into(), |finished| format!("ended {finished}"));
        let _ = write!(terminal, "\r\x1b[K{id}: {} s, accepted {accepted}, {finished} ", looks / 2);
        let _ = terminal.flush();
    }
}
