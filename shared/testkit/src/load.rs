//! Many clients at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use crate::{Api, Submitted};

/// A refused client waits this long, as `Retry-After` asks real ones to.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Clients at work.
pub struct Loading {
    accepted: Arc<AtomicUsize>,
    done: JoinHandle<Load>,
}

/// What clients were told.
#[derive(Default)]
pub struct Load {
    /// Ids that were answered with 202.
    pub accepted: Vec<Uuid>,
    /// How often the API said no.
    pub refused: usize,
    /// How often nobody knew.
    pub unknown: usize,
    /// How long each accepted submission took.
    pub latencies: Vec<Duration>,
}

impl Loading {
    /// `clients` submit `task` until `count` were accepted, evenly over about `over`; one that is refused, or that
    /// hears nothing, submits again.
    pub fn start(api: &Api, task: &Value, count: usize, clients: usize, over: Duration) -> Self {
        let accepted = Arc::new(AtomicUsize::new(0));
        let next = Arc::new(AtomicUsize::new(0));
        let pace = Pace { start: Instant::now(), step: over / u32::try_from(count).unwrap_or(u32::MAX), count };
        let client = |_| client(api.clone(), task.clone(), pace, Arc::clone(&next), Arc::clone(&accepted));
        let all: Vec<_> = (0..clients).map(client).map(tokio::spawn).collect();
        let done = tokio::spawn(async move {
            let mut whole = Load::default();
            for load in join_all(all).await {
                let load = load.expect("no client panics");
                whole.accepted.extend(load.accepted);
                whole.latencies.extend(load.latencies);
                whole.refused += load.refused;
                whole.unknown += load.unknown;
            }
            whole
        });
        Self { accepted, done }
    }

    /// How many were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until all were accepted.
    pub async fn done(self) -> Load {
        self.done.await.expect("no client panics")
    }
}

impl Load {
    /// The latency that half of the submissions were below.
    pub fn median(&self) -> Duration {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        latencies.get(latencies.len() / 2).copied().unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Pace {
    start: Instant,
    step: Duration,
    count: usize,
}

async fn client(api: Api, task: Value, pace: Pace, next: Arc<AtomicUsize>, accepted: Arc<AtomicUsize>) -> Load {
    let mut load = Load::default();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= pace.count {
            return load;
        }
        sleep_until(pace.start + pace.step * u32::try_from(index).unwrap_or(u32::MAX)).await;
        loop {
            let asked = Instant::now();
            match api.try_submit(&task).await {
                Submitted::Accepted(id) => {
                    load.accepted.push(id);
                    load.latencies.push(asked.elapsed());
                    accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Submitted::Refused(code) => {
                    assert!(
                        matches!(code.as_str(), "database_unavailable" | "overloaded" | "not_ready"),
                        "refused: {code}"
                    );
                    load.refused += 1;
                }
                Submitted::Unknown(_) => load.unknown += 1,
            }
            sleep(RETRY_AFTER).await;
        }
    }
}
