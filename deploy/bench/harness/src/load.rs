//! The load generator, on one thread.
//!
//! Closed loop: each connection asks again as soon as it has its answer, so the server sets the pace; response times are
//! those under saturation. Open loop: requests fall due at a fixed rate whether or not the server keeps up, and a response
//! time counts from the moment at which the request was due, so that a stall is felt by all the requests it delayed (what
//! a closed loop omits).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::{
    http::{Answer, Connection},
    numbers::Latencies,
};

/// Beyond the time of the load: what a saturated server may take for what it has accepted.
const PATIENCE: Duration = Duration::from_mins(2);
/// What a client waits that was told 503.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What to ask.
#[derive(Clone)]
pub(crate) struct Requests {
    /// In turn, over all connections, and from the beginning again.
    pub(crate) list: Arc<[Vec<u8>]>,
    /// The status that means success.
    pub(crate) wanted: u16,
}

impl Requests {
    pub(crate) fn one(request: Vec<u8>, wanted: u16) -> Self {
        Self { list: Arc::new([request]), wanted }
    }
}

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// After so many requests, or this long.
    Asked(usize, Duration),
}

/// What came of it.
pub(crate) struct Load {
    /// The moment of the first request.
    pub(crate) started: Instant,
    /// From then to the last answer.
    pub(crate) elapsed: Duration,
    /// Answers with the wanted status.
    pub(crate) accepted: u64,
    /// Answers with 503.
    pub(crate) refused: u64,
    pub(crate) latencies: Latencies,
}

/// Closed loop.
pub(crate) async fn closed(
    address: SocketAddr,
    connections: usize,
    requests: &Requests,
    until: Until,
) -> anyhow::Result<Load> {
    let open = open(address, connections).await?;
    let (started, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let (for_long, for_many) = match until {
        Until::Elapsed(time) => (time, usize::MAX),
        Until::Asked(count, time) => (time, count),
    };
    let mut clients = JoinSet::new();
    for mut connection in open {
        let (requests, next) = (requests.clone(), Arc::clone(&next));
        clients.spawn(async move {
            let mut load = Load::starting(started);
            while started.elapsed() < for_long {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= for_many {
                    break;
                }
                let asked = Instant::now();
                load.ask(&mut connection, &requests, turn, asked).await?;
            }
            anyhow::Ok(load)
        });
    }
    gather(clients, started, for_long).await
}

/// Open loop, at `rate` requests a second. A connection that is still busy when its next request falls due sends it
/// late, and the wait counts.
pub(crate) async fn open_loop(
    address: SocketAddr,
    connections: usize,
    requests: &Requests,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Load> {
    let open = open(address, connections).await?;
    let mut clients = JoinSet::new();
    let mut due_at = Vec::with_capacity(connections);
    let started = Instant::now();
    for mut connection in open {
        let (sender, mut due) = mpsc::unbounded_channel();
        due_at.push(sender);
        let requests = requests.clone();
        clients.spawn(async move {
            let mut load = Load::starting(started);
            while let Some((turn, due)) = due.recv().await {
                load.ask(&mut connection, &requests, turn, due).await?;
            }
            anyhow::Ok(load)
        });
    }
    thread::spawn(move || pace(&due_at, started, rate, time));
    gather(clients, started, time).await
}

/// A thread of its own, because the runtime's timer is a millisecond coarse.
#[expect(clippy::disallowed_methods, reason = "this thread does nothing but wait for the next moment")]
fn pace(connections: &[mpsc::UnboundedSender<(usize, Instant)>], started: Instant, rate: u32, time: Duration) {
    let step = Duration::from_secs(1) / rate;
    let mut due = started;
    for (turn, connection) in connections.iter().cycle().enumerate() {
        due += step;
        if due.duration_since(started) > time {
            return;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if connection.send((turn, due)).is_err() {
            return;
        }
    }
}

async fn open(address: SocketAddr, connections: usize) -> anyhow::Result<Vec<Connection>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await.with_context(|| format!("no connection to {address}"))?);
    }
    Ok(open)
}

async fn gather(mut clients: JoinSet<anyhow::Result<Load>>, started: Instant, time: Duration) -> anyhow::Result<Load> {
    let mut whole = Load::starting(started);
    let all = async {
        while let Some(client) = clients.join_next().await {
            let one = client??;
            whole.accepted += one.accepted;
            whole.refused += one.refused;
            whole.latencies.append(one.latencies);
        }
        anyhow::Ok(())
    };
    timeout(time + PATIENCE, all).await.context("the server does not answer")??;
    whole.elapsed = started.elapsed();
    Ok(whole)
}

impl Load {
    fn starting(started: Instant) -> Self {
        Self { started, elapsed: Duration::ZERO, accepted: 0, refused: 0, latencies: Latencies::default() }
    }

    /// Asks once; the response time counts from `since`.
    async fn ask(
        &mut self,
        connection: &mut Connection,
        requests: &Requests,
        turn: usize,
        since: Instant,
    ) -> anyhow::Result<()> {
        let request = requests.list.get(turn % requests.list.len()).context("nothing to ask")?;
        match connection.ask(request).await? {
            Answer { status, .. } if status == requests.wanted => {
                self.accepted += 1;
                self.latencies.add(since.elapsed());
            }
            Answer { status: 503, .. } => {
                self.refused += 1;
                tokio::time::sleep(BACK_OFF).await;
            }
            answer => bail!("answered {}: {}", answer.status, answer.text()),
        }
        Ok(())
    }
}
