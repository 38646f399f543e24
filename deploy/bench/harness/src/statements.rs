//! The store's own statements without the rest of the pipeline: the processor time of the backends that run accept, claim and
//! record, for each task. It asks only for what the store offers to everybody, so that the same file measures other commits.
//!
//! Invariants: each kind of write has one connection, the writer's own, so its backend does nothing else; commits are not flushed;
//! every batch has as many rows as was asked; a task whose write answers anything but success fails the round.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicI64},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use caraway_shared::{
    store::{
        NewSession, Store, StoreConfig, Writer,
        tasks::{Accept, Claim, ClaimRow, Claimed, Claims, Holds, NoTakers, Record, RecordRow, Recorded},
    },
    task::{Epoch, Extra, Outcome, OwnerId, Pointer, Priority, RetryPolicy, Start, State, TaskId, TaskSpec},
};
use tokio_postgres::{Client, NoTls};

use crate::{numbers::real, proc::run_time, settings::Statements};

/// Tasks in hand: so many are accepted, then claimed, then recorded, and so on.
const WAVE: usize = 1_000;
/// Before anything is measured: connections are open, statements prepared, caches warm.
const WARM_UP: usize = 2 * WAVE;
/// Statements alone: what they cost, and not what the disk takes.
const UNFLUSHED: &str = "?options=-c%20synchronous_commit%3Doff";
const BACKEND: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";

const NAME: &str = "echo";
const INPUT: &[u8] = br#"{"args":[{"n":1}],"kwargs":{}}"#;
const RESULT: &[u8] = br#"{"n":1}"#;

/// Prints microseconds a task by statement, as one line of JSON, and waits until its input is closed: a process that has
/// ended has no processor time that could be looked at.
pub(crate) async fn print(asked: &Statements) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&measure(asked).await?)?);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

async fn measure(asked: &Statements) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    ensure!((1..=WAVE).contains(&asked.rows), "a batch has 1 to {WAVE} rows");
    store(&asked.url, "bench")?.migrate().await?;
    let pipeline = Pipeline::start(&asked.url).await?;
    pipeline.run(WARM_UP, asked.rows).await?;
    let backends = pipeline.backends(&asked.url).await?;
    let before: Vec<u64> = backends.iter().map(|(_, pid)| run_time(*pid)).collect::<Result<_, _>>()?;
    let tasks = pipeline.run(asked.tasks, asked.rows).await?;
    let cost = |(name, pid): (&'static str, u32), before: u64| {
        let nanoseconds = run_time(pid)?.saturating_sub(before);
        anyhow::Ok((name, real(nanoseconds / 1_000) / real(tasks)))
    };
    backends.into_iter().zip(before).map(|(backend, before)| cost(backend, before)).collect()
}

/// One store for each kind of write, so that its connection can be told by its name.
fn store(url: &str, application: &'static str) -> anyhow::Result<Store> {
    Ok(Store::new(&StoreConfig { url: format!("{url}{UNFLUSHED}"), application, connections: 1 })?)
}

const ACCEPT: &str = "accept";
const CLAIM: &str = "claim";
const RECORD: &str = "record";

/// The three writers, as an API and a worker have them.
struct Pipeline {
    accept: Writer<Accept>,
    claim: Writer<Claims>,
    record: Writer<Record>,
}

impl Pipeline {
    async fn start(url: &str) -> anyhow::Result<Self> {
        let (accepting, claiming, recording) = (store(url, ACCEPT)?, store(url, CLAIM)?, store(url, RECORD)?);
        let session = store(url, "bench")?
            .open_session(&NewSession {
                name: "bench".into(),
                host: "bench".into(),
                slot: None,
                replaces: Vec::new(),
                queues: Vec::new(),
            })
            .await?;
        let claims = Claims {
            session: Arc::new(AtomicI64::new(session.0)),
            worker: "bench".into(),
            names: vec![NAME.into()],
            holds: Holds::start(store(url, "bench")?),
        };
        Ok(Self {
            accept: Writer::start(&accepting, Accept { offer: Box::new(drop), takers: Box::new(NoTakers) }),
            claim: Writer::start(&claiming, claims),
            record: Writer::start(&recording, Record),
        })
    }

    /// The server's process of each writer.
    async fn backends(&self, url: &str) -> anyhow::Result<Vec<(&'static str, u32)>> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection); // ends when the client is dropped
        let mut backends = Vec::new();
        for name in [ACCEPT, CLAIM, RECORD] {
            backends.push((name, backend(&client, name).await?));
        }
        Ok(backends)
    }

    /// Takes so many tasks to their end, in whole waves; how many there were.
    async fn run(&self, tasks: usize, rows: usize) -> anyhow::Result<u64> {
        let mut done = 0;
        while done < tasks {
            let mut specs = Vec::with_capacity(WAVE);
            while specs.len() < WAVE {
                specs.push(Arc::new(spec()?));
            }
            for batch in specs.chunks(rows) {
                let accepted = self.accept.write(batch.to_vec()).await?;
                ensure!(accepted.iter().all(|one| one.state == State::Queued), "a task is not queued");
            }
            let mut claims = Vec::with_capacity(WAVE);
            for batch in specs.chunks(rows) {
                claims.extend(self.claim.write(batch.iter().map(|spec| pointer(spec)).collect()).await?);
            }
            let outcomes: Vec<RecordRow> = claims.iter().map(outcome).collect::<Result<_, _>>()?;
            let mut outcomes = outcomes.into_iter().peekable();
            while outcomes.peek().is_some() {
                let recorded = self.record.write(outcomes.by_ref().take(rows).collect()).await?;
                let succeeded = |one: &Recorded| *one == Recorded::Done(State::Succeeded);
                ensure!(recorded.iter().all(succeeded), "an outcome is not recorded");
            }
            done += WAVE;
        }
        Ok(u64::try_from(done)?)
    }
}

async fn backend(client: &Client, application: &str) -> anyhow::Result<u32> {
    let rows = client.query(BACKEND, &[&application]).await?;
    ensure!(rows.len() == 1, "{} connections are called {application}", rows.len());
    Ok(u32::try_from(rows.first().context("no connection")?.try_get::<_, i32>(0)?)?)
}

fn spec() -> anyhow::Result<TaskSpec> {
    Ok(TaskSpec {
        id: TaskId(uuid::Uuid::now_v7()),
        owner: OwnerId::LOCAL,
        name: NAME.parse()?,
        version: 1,
        queue: "default".parse()?,
        priority: Priority::new(5)?,
        input: Bytes::from_static(INPUT),
        max_attempts: 5,
        retry: RetryPolicy::default(),
        timeout: None,
        start: Start::Now,
        traceparent: None,
        extra: Extra::default(),
    })
}

fn pointer(spec: &TaskSpec) -> ClaimRow {
    ClaimRow { pointer: Pointer { id: spec.id, epoch: Epoch(0) }, suspect: false }
}

fn outcome(claimed: &Claimed) -> anyhow::Result<RecordRow> {
    let Claimed::Run(claim) = claimed else { anyhow::bail!("a task is not claimed: {claimed:?}") };
    let Claim { id, epoch, .. } = **claim;
    let outcome = Outcome::Succeed(Bytes::from_static(RESULT));
    Ok(RecordRow {
        id,
        epoch,
        outcome,
        progress: None,
        member: None,
        follow: caraway_shared::store::workflows::Follow::default(),
    })
}
