//! A process under test.

use std::{
    env,
    fs::OpenOptions,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822};
use rand::RngExt as _;
use reqwest::header::DATE;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Counters, Ledger, Place, Servers, eventually, stack::children};

/// How long a program may take to be ready. Tests run beside each other on few cores.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A scrape that takes longer is none: the process may be frozen.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);
/// What `/proc/<pid>/stat` counts in (`man 5 proc`; 100 on every Linux that we know).
const TICKS_PER_SECOND: f64 = 100.0;

/// How to start a program.
#[derive(Clone)]
pub struct Launch {
    binary: PathBuf,
    name: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    log: PathBuf,
}

impl Launch {
    /// The binary of this workspace (or `examples/<name>`), with the servers of `place`.
    pub fn new(place: &Place, binary: &str, name: &str) -> Self {
        let servers = place.servers();
        let variables = [
            ("CARAWAY_POSTGRES_URL", servers.postgres_url.clone()),
            ("CARAWAY_AMQP_URL", servers.amqp_url.clone()),
            ("CARAWAY_REDIS_URL", servers.redis_url.clone()),
            ("CARAWAY_LOG_FORMAT", "human".into()),
            (Ledger::VARIABLE, place.ledger().path().display().to_string()),
        ];
        Self {
            binary: built(binary),
            name: name.into(),
            arguments: Vec::new(),
            variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            log: place.folder().join(format!("{name}.log")),
        }
    }

    /// More arguments.
    #[must_use]
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// One more variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Reaches the servers there instead.
    #[must_use]
    pub fn through(self, servers: &Servers) -> Self {
        self.variable("CARAWAY_POSTGRES_URL", &servers.postgres_url)
            .variable("CARAWAY_AMQP_URL", &servers.amqp_url)
            .variable("CARAWAY_REDIS_URL", &servers.redis_url)
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Program {
        let mut program = self.spawn();
        program.wait_ready().await;
        program
    }

    /// Starts it.
    pub fn spawn(self) -> Program {
        let port = free_port();
        let child = self.child(port);
        let (past, last) = (Counters::default(), Counters::default());
        Program { launch: self, port, child, frozen: AtomicBool::new(false), past, last }
    }

    fn child(&self, port: u16) -> Child {
        let log = OpenOptions::new().append(true).create(true).open(&self.log).expect("the log can be opened");
        let log_too = log.try_clone().expect("the log can be opened twice");
        // dies with us, however we end: a test that is killed for its slowness drops nothing
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary).args(&self.arguments);
        command.args(["--bind", &format!("127.0.0.1:{port}")]);
        let ours = |name: &str| name.starts_with("CARAWAY_") || name == "FAILPOINTS";
        for (name, _) in env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        // the whole suite with hand-over: CARAWAY_TEST_HAND_OVER=true deploy/dev test
        if env::var_os("CARAWAY_TEST_HAND_OVER").is_some() {
            command.env("CARAWAY_HAND_OVER", "true");
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(log_too);
        command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary.display()))
    }
}

/// A process under test. It is killed when this is dropped.
pub struct Program {
    launch: Launch,
    port: u16,
    child: Child,
    frozen: AtomicBool,
    /// The counters of its earlier lives.
    past: Counters,
    /// Those of this life, when they were last read.
    last: Counters,
}

impl Program {
    /// Where it serves HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many TCP connections it has open to this port.
    pub fn connections_to(&self, port: u16) -> usize {
        let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
            .collect();
        let open =
            ["tcp", "tcp6"].map(|family| std::fs::read_to_string(format!("/proc/net/{family}")).unwrap_or_default());
        // `man 5 proc`: local address, remote address, state (01 is ESTABLISHED), …, the tenth column is the inode
        let ours = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let to = columns.get(2).and_then(|remote| remote.rsplit(':').next());
            let inode = columns.get(9).map(|inode| format!("socket:[{inode}]"));
            columns.get(3) == Some(&"01")
                && to.and_then(|to| u16::from_str_radix(to, 16).ok()) == Some(port)
                && inode.is_some_and(|inode| sockets.contains(&inode))
        };
        open.iter().flat_map(|table| table.lines()).filter(ours).count()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.launch.log).unwrap_or_default()
    }

    /// Waits until `/readyz` says so; fails the test if the process ends instead.
    pub async fn wait_ready(&mut self) {
        let name = self.launch.name.clone();
        eventually(READY_WITHIN, &format!("{name} is ready"), async || {
            if let Some(status) = self.exited() {
                panic!("{name} ended instead of becoming ready ({status}); its log:\n{}", self.log());
            }
            let answer = client().get(format!("{}/readyz", self.url())).send().await;
            match answer {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// What `/readyz` answers now: the status and the text.
    pub async fn readiness(&self) -> (u16, String) {
        let answer = client().get(format!("{}/readyz", self.url())).send().await.expect("the process answers");
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub async fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let name = self.launch.name.clone();
        eventually(deadline, &format!("{name} ends"), async || self.exited().ok_or("it still runs".to_owned())).await
    }

    /// What it takes for the time, by the `Date` of an answer, whole seconds; none where it does not answer.
    pub async fn wall_clock(&self) -> Option<Timestamp> {
        let answer = client().get(format!("{}/livez", self.url())).send().await.ok()?;
        let date = answer.headers().get(DATE)?.to_str().ok()?;
        Some(rfc2822::parse(date).ok()?.timestamp())
    }

    /// Its counters, over all its lives. Those of a process that does not answer are the last that were read.
    pub async fn counters(&mut self) -> Counters {
        if self.frozen.load(Ordering::Acquire) {
            return self.known();
        }
        let scraped = async { client().get(format!("{}/metrics", self.url())).send().await?.text().await };
        if let Ok(text) = scraped.await {
            self.last = Counters::parse(&text);
        }
        self.known()
    }

    fn known(&self) -> Counters {
        let mut all = self.past.clone();
        all.add(&self.last);
        all
    }

    /// Kills it (SIGKILL) after a last look at its counters.
    pub async fn kill(&mut self) {
        let _ = self.counters().await;
        self.end();
    }

    /// Asks it to end (SIGTERM) and waits for that. A frozen one finds the signal when it runs on: it ends with what it
    /// held in its frozen moment.
    pub async fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        let _ = self.counters().await;
        self.signal(Signal::TERM);
        self.thaw();
        self.wait_exit(deadline).await
    }

    /// Starts it again, as it was, and waits until it is ready. It must have ended.
    pub async fn restart(&mut self) {
        self.respawn();
        self.wait_ready().await;
    }

    /// Its next lives have this variable, or have it no more.
    pub fn set_variable(&mut self, name: &str, value: Option<&str>) {
        self.launch.variables.retain(|(other, _)| other != name);
        self.launch.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Starts it again, as it was.
    pub fn respawn(&mut self) {
        assert!(self.exited().is_some(), "{} still runs", self.launch.name);
        self.past.add(&std::mem::take(&mut self.last));
        self.child = self.launch.child(self.port);
        self.frozen.store(false, Ordering::Release);
    }

    /// Stops it where it stands (SIGSTOP).
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
        self.frozen.store(false, Ordering::Release);
    }

    /// The same, where it may have ended meanwhile.
    pub fn thaw_if_alive(&mut self) {
        if self.exited().is_none() {
            self.thaw();
        }
    }

    /// Sends it a SIGTERM and does not wait.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Its resident memory.
    pub fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The most resident memory that it ever had.
    pub fn rss_peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// The resident memory of the processes that it has started, together.
    pub fn children_rss_kib(&self) -> u64 {
        // one that has just ended tells nothing
        children(self.pid()).into_iter().filter_map(|pid| status_kib(pid, "VmRSS:")).sum()
    }

    /// CPU time that it used since it started, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        // the second field is the name in brackets, and may hold anything
        let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
        (ticks(14).expect("utime") + ticks(15).expect("stime")) / TICKS_PER_SECOND
    }

    fn status_kib(&self, field: &str) -> u64 {
        status_kib(self.pid(), field).expect("the process tells its memory")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("our own child can be signalled");
    }

    fn end(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A client for `/readyz` and `/metrics`. A new connection each time: the process behind a port changes.
fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(SCRAPE_TIMEOUT);
    builder.build().expect("a client can be built")
}

/// Below the range from which the kernel takes ports for outgoing connections, and beside that of `deploy/dev`.
fn free_port() -> u16 {
    let mut random = rand::rng();
    loop {
        let port = random.random_range(10_000..20_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A binary of this workspace: it lies beside the tests' own folder (`target/<profile>/deps`).
fn built(binary: &str) -> PathBuf {
    let test = env::current_exe().expect("the test knows its own path");
    let folder = test.parent().filter(|deps| deps.ends_with("deps")).and_then(|deps| deps.parent());
    let path = folder.unwrap_or_else(|| test.parent().expect("a file is in a folder")).join(binary);
    assert!(
        path.exists(),
        "{} is not built: run deploy/dev test, or cargo build --workspace --examples --bins --features caraway-shared/failpoints",
        path.display()
    );
    path
}
