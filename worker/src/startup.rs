//! Puts a worker together, runs it, and stops it well.

use std::{
    net::TcpListener,
    sync::{Arc, atomic::AtomicI64},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context, bail};
use caraway_shared::{
    broker::{CreditLine, Link, Publisher, relay},
    cache::{Cache, CacheConfig, wakeups::Announcer},
    config::{Schema, prepare},
    coordination::Coordination,
    ids::Ids,
    store::{
        Keep, Sighting, Store, StoreError, Writer,
        tasks::{Claims, HandBacks, Holds, Record, Takes},
        workflows::Steps,
    },
    task::QueueName,
    telemetry::{Metrics, init_logs},
};
use clap::Parser;
use tokio::{
    runtime::{Builder, Handle},
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Task, WorkerArgs,
    config::Served,
    consume::{Lane, serve},
    hand_over::{self, Desk},
    maintain::{self, Lease, Watermarks},
    ops,
    overdue::Overdue,
    quarantine::Allowance,
    record::Writers,
    registry::Registry,
    running::Running,
    session,
    slot::Slot,
};

/// What every part of a running worker holds on to.
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) slot: Option<Slot>,
    pub(crate) store: Store,
    pub(crate) ids: Ids,
    pub(crate) consuming: Link,
    pub(crate) publishing: Link,
    pub(crate) publisher: Publisher,
    pub(crate) registry: Registry,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) session: Arc<AtomicI64>,
    pub(crate) claims: Writer<Claims>,
    pub(crate) records: Writers,
    pub(crate) hand_backs: Writer<HandBacks>,
    pub(crate) announcer: Announcer,
    /// Locks and their kin, for handlers: one count for each task, and not one for each part of it.
    pub(crate) coordination: Arc<Coordination>,
    pub(crate) running: Running,
    /// One place: a process runs at most one suspect at a time.
    pub(crate) suspects: Arc<Semaphore>,
    pub(crate) overdue: Overdue,
    /// Whose blocking threads run the handlers that burn CPU.
    pub(crate) threads: Handle,
    pub(crate) watermarks: Watermarks,
    /// Whether this worker reconciles.
    pub(crate) lease: Lease,
    /// What its last beat has seen of the others.
    pub(crate) sightings: watch::Sender<Option<Sighting>>,
    /// How long things are kept.
    pub(crate) keep: Keep,
    pub(crate) allowance: Allowance,
    pub(crate) tracker: TaskTracker,
    /// Where tasks are taken over, if they are.
    pub(crate) desk: Option<Desk>,
}

/// A worker to be: flags and an explicit list of tasks.
pub struct Worker {
    args: WorkerArgs,
    tasks: Vec<Task>,
}

impl Worker {
    /// Takes the command line's flags; ends the process with a message if they are wrong.
    pub fn from_args() -> Self {
        Self::new(WorkerArgs::parse())
    }

    /// Takes flags that were parsed before.
    pub fn new(args: WorkerArgs) -> Self {
        Self { args, tasks: Vec::new() }
    }

    /// Adds a task.
    #[must_use]
    pub fn register(mut self, task: Task) -> Self {
        self.tasks.push(task);
        self
    }

    /// Adds several tasks.
    #[must_use]
    pub fn register_all(mut self, tasks: impl IntoIterator<Item = Task>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// Runs until SIGTERM or SIGINT, then stops in order: takes nothing new, lets what runs finish within the grace,
    /// hands the rest to other workers. A second signal ends it at once, which is safe too.
    pub async fn run(self) -> anyhow::Result<()> {
        init_logs(self.args.common.log_format, &self.args.common.loglevel)?;
        let metrics = Metrics::install()?;
        let listener = TcpListener::bind(self.args.bind).with_context(|| format!("cannot bind {}", self.args.bind))?;
        let address = listener.local_addr()?;
        let mut signals = Signals::listen()?;
        let grace = self.args.grace();
        let (consuming, done) = (CancellationToken::new(), CancellationToken::new());
        let in_service = ops::InService::default();
        tokio::spawn(ops::server(listener, Arc::clone(&in_service), metrics, consuming.clone())?);
        let Some(engine) = signals.unless(Box::pin(self.build(&done))).await.transpose()? else { return Ok(()) };
        let _ = in_service.set(Arc::clone(&engine)); // once only

        tokio::spawn(session::beat(Arc::clone(&engine), consuming.clone(), done.clone()));
        tokio::spawn(session::progress(Arc::clone(&engine), done.clone()));
        tokio::spawn(relay::run(
            engine.store.clone(),
            engine.publisher.clone(),
            Some(engine.lease.watch()),
            consuming.clone(),
        ));
        maintain::start(&engine, &consuming);
        for lane in engine.lanes.clone() {
            tokio::spawn(hand_over::grant(Arc::clone(&engine), lane.clone(), consuming.clone()));
            engine.tracker.spawn(serve(Arc::clone(&engine), lane, consuming.clone()));
        }
        tokio::spawn(hand_over::hear(Arc::clone(&engine), done.clone()));
        tracing::info!(http.address = %address, tasks = engine.registry.names().join(" "), "worker ready");

        signals.first().await;
        tracing::info!(running = engine.running.count(), "stopping: no new work is taken");
        consuming.cancel();
        engine.refuse_hand_overs().await;
        engine.tracker.close();
        tokio::select! {
            () = drain(&engine, grace) => (),
            () = signals.first() => tracing::warn!("a second signal: ending at once"),
        }
        engine.give_back_untold().await;
        // what is left, if anything, is rescued now and not in fifteen seconds
        if let Err(error) = engine.store.close_session(engine.session_id()).await {
            tracing::warn!(%error, "the session could not be closed; it will be missed");
        }
        done.cancel();
        tracing::info!(stuck = engine.running.count(), "stopped");
        if engine.running.count() > 0 || engine.overdue.all().handlers > 0 {
            // handlers that do not look up cannot be ended, and the runtime would wait for them
            std::process::exit(0);
        }
        Ok(())
    }

    async fn build(self, done: &CancellationToken) -> anyhow::Result<Arc<Engine>> {
        let store = self.args.common.store("caraway worker")?;
        // which reads no entries
        let caching = CacheConfig { off: true, loads_max: 1 };
        let cache = Cache::new(&self.args.common.redis_url, caching).context("the Redis URL")?;
        let registry = Registry::new(self.tasks, self.args.time_limit())?;
        let lanes = lanes(&self.args, &registry)?;
        let slots = lanes.iter().map(|lane| lane.slot_count).sum();
        let overdue_max = usize::from(self.args.overdue_max);
        let slot = self.args.slot_file.as_deref().map(Slot::lock).transpose()?;
        cache.check().await.context("Redis cannot be used")?;
        let prepared = prepare(&store, Schema::Await, self.args.common.cell).await;
        let installation = prepared.context("the database cannot be used")?;
        cache.belong_to(installation.id);
        let ids = Ids::default();
        ids.belong_to(installation.cell);

        let broker = self.args.common.broker();
        let publishing = Link::start(&broker, "worker publishing", done.clone());
        let publisher = Publisher::start(publishing.clone(), store.clone(), done.clone());
        let host = hostname();
        let name = format!("{host}:{}", std::process::id());
        let session = Arc::new(AtomicI64::new(0));
        let holds = Holds::start(store.clone());
        let claims = Claims { session: Arc::clone(&session), worker: name.clone(), names: registry.names(), holds };
        let (coordination, upkeep) = Coordination::start(store.clone(), cache.clone(), done.clone());
        tokio::spawn(coordination.clone().hear(self.args.common.redis_url.clone(), cache.clone(), done.clone()));
        tokio::spawn(coordination.clone().attend(upkeep, done.clone()));
        let announcer = Announcer::start(cache);
        let desk = self.args.hand_over.then(|| {
            let takes = Takes { session: Arc::clone(&session), holds: claims.holds.clone() };
            Desk::new(
                CreditLine::start(publishing.clone(), installation.id, done.clone()),
                Writer::start(&store, takes),
            )
        });
        let engine = Engine {
            desk,
            consuming: Link::start(&broker, "worker consuming", done.clone()),
            claims: Writer::start(&store, claims),
            records: Writers {
                plain: Writer::start(&store, Record),
                steps: Writer::start(&store, steps(&publisher, &announcer)),
            },
            hand_backs: Writer::start(&store, HandBacks),
            announcer,
            coordination: Arc::new(coordination),
            running: Running::default(),
            suspects: Arc::new(Semaphore::new(1)),
            overdue: Overdue::new(overdue_max, slots),
            threads: threads(slots + overdue_max)?,
            watermarks: Watermarks::default(),
            lease: Lease::new(self.args.reconcile),
            sightings: watch::Sender::new(None),
            keep: self.args.keep(),
            allowance: Allowance::default(),
            tracker: TaskTracker::new(),
            name,
            host,
            slot,
            store,
            ids,
            publishing,
            publisher,
            registry,
            lanes,
            session,
        };
        engine.enter_service().await?;
        Ok(Arc::new(engine))
    }
}

impl Engine {
    /// Announces the handlers and opens the session, however long the database takes.
    async fn enter_service(&self) -> anyhow::Result<()> {
        const PAUSE: Duration = Duration::from_secs(1);
        let queues: Vec<QueueName> = self.lanes.iter().map(|lane| lane.queue.clone()).collect();
        loop {
            let entered = async {
                self.store.announce(&self.registry.about(), &queues).await?;
                self.open_session().await
            };
            match entered.await {
                Err(StoreError::Unavailable(error)) => {
                    tracing::warn!(%error, "the database is not available yet");
                    tokio::time::sleep(PAUSE).await;
                }
                done => return Ok(done?),
            }
        }
    }
}

/// How long it may take, after the grace, to record that the rest was interrupted. What is not recorded by then is
/// rescued by another worker.
const RECORD_TIMEOUT: Duration = Duration::from_secs(15);

/// Waits for everything that runs; past the grace asks it to stop, and waits for that to be recorded.
async fn drain(engine: &Engine, grace: Duration) {
    if timeout(grace, engine.tracker.wait()).await.is_err() {
        tracing::warn!(running = engine.running.count(), "the grace is over: the rest is handed to other workers");
        engine.running.end();
        if timeout(RECORD_TIMEOUT, engine.tracker.wait()).await.is_err() {
            tracing::warn!(running = engine.running.count(), "not everything could be recorded; it will be rescued");
        }
    }
}

/// Threads for the handlers that burn CPU: one for each slot and for each overdue handler whose slot was replaced, so that
/// no claimed task waits for a thread, and the main runtime's own pool (which looks up the servers' names) is never
/// short of one, whatever handlers do. They start when they are needed, and end after ten idle seconds.
fn threads(count_max: usize) -> anyhow::Result<Handle> {
    let runtime = Builder::new_current_thread().max_blocking_threads(count_max).thread_name("caraway-cpu").build()?;
    let handle = runtime.handle().clone();
    std::mem::forget(runtime); // lives as long as the process: to drop it would be to wait for handlers that hang
    Ok(handle)
}

/// Outcomes of nodes queue others, and end workflows.
fn steps(publisher: &Publisher, announcer: &Announcer) -> Steps {
    let (publisher, announcer) = (publisher.clone(), announcer.clone());
    Steps {
        offer: Box::new(move |owed| publisher.offer(owed)),
        announce: Box::new(move |ended| ended.iter().for_each(|id| announcer.ended(*id))),
    }
}

/// What to serve: as told, or every queue that a registered task has.
fn lanes(args: &WorkerArgs, registry: &Registry) -> anyhow::Result<Vec<Lane>> {
    let mut served = args.queues.clone();
    if served.is_empty() {
        let cores = available_parallelism().map_or(2, usize::from);
        let concurrency = args.concurrency.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(64);
        let mut queues: Vec<QueueName> = registry.about().into_iter().map(|about| about.queue).collect();
        queues.push("default".parse().context("the default queue")?);
        queues.sort();
        queues.dedup();
        let slots = |queue: &QueueName| if queue.as_str() == "default" { concurrency } else { cores };
        served = queues.into_iter().map(|queue| Served { slots: slots(&queue), queue }).collect();
    }
    let mut names: Vec<&QueueName> = served.iter().map(|served| &served.queue).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find_map(|pair| pair.first().filter(|first| Some(*first) == pair.last())) {
        bail!("queue {twice} is given twice");
    }
    Ok(served.into_iter().map(|served| Lane::new(served.queue, served.slots)).collect())
}

/// SIGTERM and SIGINT.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.term.recv() => (),
            _ = self.int.recv() => (),
        }
    }

    /// Waits for `work`, but not past a signal.
    async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.first() => None,
        }
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".into() } else { name.trim().into() }
}
