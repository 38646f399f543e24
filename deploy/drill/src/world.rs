//! The system under test: private servers, two APIs, three workers that write the execution ledger and one that makes
//! pictures, each behind proxies of its own; and a supervisor that starts again what dies, as systemd would.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use caraway_testkit::{Broker, Launch, Place, Program, Protocol, Proxy, Servers, Stack};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::rows::Rows;

/// So few slots that several workers are busy at the drill's rate.
const SLOTS: usize = 8;
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long until a worker holds a task, at the drill's rate.
const BUSY_WITHIN: Duration = Duration::from_secs(20);

/// One process under test, and its ways to the servers.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) program: Mutex<Program>,
    /// Whether the supervisor starts it again when it ends.
    pub(crate) supervised: AtomicBool,
    pub(crate) postgres: Proxy,
    pub(crate) amqp: Proxy,
    pub(crate) redis: Proxy,
}

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    Postgres,
    Rabbitmq,
    Redis,
}

/// Everything that runs.
pub(crate) struct World {
    pub(crate) stack: Arc<Stack>,
    pub(crate) place: Place,
    pub(crate) apis: Vec<Arc<Node>>,
    pub(crate) workers: Vec<Arc<Node>>,
    pub(crate) pictures: Arc<Node>,
    pub(crate) rows: Rows,
    /// Ends that the supervisor saw.
    pub(crate) deaths: Arc<AtomicU64>,
    supervisor: JoinHandle<()>,
}

impl Server {
    /// As `deploy/dev` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::Redis => "redis",
        }
    }
}

impl Node {
    async fn start(place: &Place, name: &str, launch: Launch) -> anyhow::Result<Arc<Self>> {
        let servers = place.servers();
        let to = |url: &str| Proxy::address_in(url);
        let postgres = Proxy::to(to(&servers.postgres_url), Protocol::Postgres).await;
        let amqp = Proxy::to(to(&servers.amqp_url), Protocol::Amqp).await;
        let redis = Proxy::to(to(&servers.redis_url), Protocol::Bytes).await;
        let through = Servers {
            postgres_url: postgres.url(&servers.postgres_url),
            amqp_url: amqp.url(&servers.amqp_url),
            redis_url: redis.url(&servers.redis_url),
        };
        let program = launch.through(&through).spawn();
        let supervised = AtomicBool::new(true);
        Ok(Arc::new(Self { name: name.into(), program: Mutex::new(program), supervised, postgres, amqp, redis }))
    }

    /// Its way to a server.
    pub(crate) const fn way(&self, server: Server) -> &Proxy {
        match server {
            Server::Postgres => &self.postgres,
            Server::Rabbitmq => &self.amqp,
            Server::Redis => &self.redis,
        }
    }

    pub(crate) async fn pid(&self) -> u32 {
        self.program.lock().await.pid()
    }

    /// SIGKILL; it stays dead until [`restart`](Self::restart).
    pub(crate) async fn kill(&self) {
        self.supervised.store(false, Ordering::Release);
        self.program.lock().await.kill().await;
    }

    /// Starts it again and waits until it is ready.
    pub(crate) async fn restart(&self) {
        let mut program = self.program.lock().await;
        program.restart().await;
        self.supervised.store(true, Ordering::Release);
    }

    /// Starts it again and does not wait: its servers may be away.
    pub(crate) async fn respawn(&self) {
        self.program.lock().await.respawn();
        self.supervised.store(true, Ordering::Release);
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn terminate(&self, within: Duration) -> bool {
        self.supervised.store(false, Ordering::Release);
        self.program.lock().await.terminate(within).await.success()
    }

    pub(crate) async fn freeze(&self) {
        self.program.lock().await.freeze();
    }

    pub(crate) async fn thaw(&self) {
        self.program.lock().await.thaw();
    }

    /// A counter over all its lives.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        self.program.lock().await.counters().await.sum(name)
    }
}

/// What a world is started with beyond the usual.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// Variables of every program.
    pub(crate) variables: Vec<(String, String)>,
    /// Whether the database's own guard of ended tasks is taken away.
    pub(crate) drops_trigger: bool,
}

impl World {
    /// Starts the programs on the stack's servers, with a database and queues of their own, and waits until all are
    /// ready.
    pub(crate) async fn start(stack: &Arc<Stack>, name: &str, setup: &Setup) -> anyhow::Result<Self> {
        let place = Place::on(stack, name).await;
        let rows = Rows::at(&place.servers().postgres_url)?;
        let with =
            |launch: Launch| setup.variables.iter().fold(launch, |launch, (name, value)| launch.variable(name, value));
        let mut apis = Vec::new();
        for name in ["api-1", "api-2"] {
            let launch = Launch::new(&place, "api", name).arguments(["serve", "--http-threads", "1"]);
            apis.push(Node::start(&place, name, with(launch)).await?);
        }
        let mut workers = Vec::new();
        for name in ["worker-1", "worker-2", "worker-3"] {
            let launch = place.ledger_worker(name, SLOTS).arguments(["--grace", "5"]);
            workers.push(Node::start(&place, name, with(launch)).await?);
        }
        let serving = ["--queue".to_owned(), format!("{}-images=1", place.queue())];
        let launch = Launch::new(&place, "worker", "pictures").arguments(serving);
        let pictures = Node::start(&place, "pictures", with(launch)).await?;
        let deaths = Arc::new(AtomicU64::new(0));
        let all: Vec<Arc<Node>> = apis.iter().chain(&workers).chain([&pictures]).map(Arc::clone).collect();
        for node in &all {
            node.program.lock().await.wait_ready().await;
        }
        if setup.drops_trigger {
            rows.execute("DROP TRIGGER task_terminal_stays ON task_run", &[]).await?;
        }
        let supervisor = tokio::spawn(supervise(all, Arc::clone(&deaths)));
        let stack = Arc::clone(stack);
        Ok(Self { stack, place, apis, workers, pictures, rows, deaths, supervisor })
    }

    /// Every process.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.apis.iter().chain(&self.workers).chain([&self.pictures])
    }

    pub(crate) async fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for api in &self.apis {
            urls.push(api.program.lock().await.url());
        }
        urls
    }

    /// The broker, past the system under test.
    pub(crate) async fn broker(&self) -> Broker {
        Broker::connect(&self.place.servers().amqp_url).await
    }

    /// These counters, summed over all processes and all their lives.
    pub(crate) async fn counters(&self, names: &[&'static str]) -> HashMap<&'static str, u64> {
        let mut sums = HashMap::new();
        for node in self.nodes() {
            let counters = node.program.lock().await.counters().await;
            for name in names {
                *sums.entry(*name).or_default() += counters.sum(name);
            }
        }
        sums
    }

    pub(crate) async fn counter(&self, name: &'static str) -> u64 {
        self.counters(&[name]).await.get(name).copied().unwrap_or(0)
    }

    /// The worker that holds most tasks now.
    pub(crate) async fn busiest(&self) -> anyhow::Result<(Arc<Node>, i64)> {
        let until = Instant::now() + BUSY_WITHIN;
        loop {
            let mut best = None;
            for worker in &self.workers {
                let held = self.rows.held_by(worker.pid().await).await?;
                if best.as_ref().is_none_or(|(_, most)| held > *most) {
                    best = Some((Arc::clone(worker), held));
                }
            }
            match best.filter(|(_, held)| *held > 0) {
                Some(best) => return Ok(best),
                None => anyhow::ensure!(Instant::now() < until, "no worker holds a task"),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The same, frozen while it holds tasks, and how many these are.
    pub(crate) async fn freeze_busiest(&self) -> anyhow::Result<(Arc<Node>, i64)> {
        until(BUSY_WITHIN, "a worker holds a task when it is frozen", async || {
            let (worker, _) = self.busiest().await?;
            Ok(self.freeze_if_holding(&worker).await?.map(|held| (worker, held)))
        })
        .await
    }

    /// Freezes this worker if it holds tasks, and says how many. Between a look and the freeze a worker may end all that
    /// it held, and would be hit idle: so the look is at the frozen one, which runs on if it holds none or nobody can tell.
    pub(crate) async fn freeze_if_holding(&self, worker: &Node) -> anyhow::Result<Option<i64>> {
        worker.program.lock().await.counters().await; // a frozen one tells them no more
        worker.freeze().await;
        let held = self.rows.held_by(worker.pid().await).await;
        if !matches!(held, Ok(1..)) {
            worker.thaw().await;
        }
        Ok(Some(held?).filter(|held| *held > 0))
    }

    /// Starts a stopped or killed server again; proxies follow it to another port.
    pub(crate) async fn start_server(&self, server: Server) -> anyhow::Result<()> {
        self.stack.start_server(server.name()).await;
        let now = self.stack.servers();
        let url = match server {
            Server::Postgres => now.postgres_url,
            Server::Rabbitmq => now.amqp_url,
            Server::Redis => now.redis_url,
        };
        let old = match server {
            Server::Postgres => &self.place.servers().postgres_url,
            Server::Rabbitmq => &self.place.servers().amqp_url,
            Server::Redis => &self.place.servers().redis_url,
        };
        let (address, before) = (Proxy::address_in(&url), Proxy::address_in(old));
        anyhow::ensure!(address == before, "{} came back at {address} instead of {before}", server.name());
        Ok(())
    }

    /// Every process, every way: as it was.
    pub(crate) async fn heal(&self) {
        for server in [Server::Postgres, Server::Rabbitmq, Server::Redis] {
            self.stack.thaw(server.name());
        }
        for node in self.nodes() {
            for proxy in [&node.postgres, &node.amqp, &node.redis] {
                proxy.disarm();
                proxy.set(caraway_testkit::Way::Open);
            }
            let mut program = node.program.lock().await;
            program.thaw_if_alive();
            node.supervised.store(true, Ordering::Release);
        }
    }

    /// Resident memory of each process, KiB.
    pub(crate) async fn memory(&self) -> Vec<(String, u64)> {
        let mut memory = Vec::new();
        for node in self.nodes() {
            let mut program = node.program.lock().await;
            if program.exited().is_none() {
                memory.push((node.name.clone(), program.rss_kib()));
            }
        }
        memory
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// What ends is started again, without the crash point that ended it.
async fn supervise(nodes: Vec<Arc<Node>>, deaths: Arc<AtomicU64>) {
    loop {
        sleep(LOOK_EVERY).await;
        for node in nodes.iter().filter(|node| node.supervised.load(Ordering::Acquire)) {
            let mut program = node.program.lock().await;
            if node.supervised.load(Ordering::Acquire) && program.exited().is_some() {
                deaths.fetch_add(1, Ordering::AcqRel);
                program.respawn();
            }
        }
    }
}

/// Waits for a condition, and fails at the deadline with what was seen last.
pub(crate) async fn until<T>(
    within: Duration,
    wanted: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let until = Instant::now() + within;
    loop {
        let seen = look().await;
        match seen {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if Instant::now() >= until => anyhow::bail!("not within {within:?}: {wanted}"),
            Err(error) if Instant::now() >= until => return Err(error).with_context(|| format!("waiting: {wanted}")),
            Ok(None) | Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
