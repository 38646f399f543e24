//! One process of a contender: started with a log, told to end, and killed if it does not.

use std::{
    fs::OpenOptions,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, sleep, timeout},
};

use crate::http::{Connection, get};

/// How long a program may take to answer: Python needs seconds, eight workers that start at once may need many.
const READY_WITHIN: Duration = Duration::from_mins(3);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const ENDS_WITHIN: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Program {
    /// Under which its processor time is reported.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pid: Option<Pid>,
    child: Child,
}

/// How to start one.
pub(crate) struct Launch {
    name: String,
    command: Command,
    pub(crate) address: SocketAddr,
}

impl Launch {
    /// `program`, which hears nothing of our environment but `PATH`, and dies with us, however we end.
    pub(crate) fn new(name: &str, program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command.env_clear().envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.process_group(0).kill_on_drop(true);
        Ok(Self { name: name.into(), command, address: free_address()? })
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it; its log goes into `folder`.
    pub(crate) fn spawn(mut self, folder: &Path) -> anyhow::Result<Program> {
        let log = self.log(folder)?;
        self.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.start()
    }

    /// Starts it with its input and output in our hands.
    pub(crate) fn spawn_talking(mut self, folder: &Path) -> anyhow::Result<(Program, ChildStdin, ChildStdout)> {
        let log = self.log(folder)?;
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut program = self.start()?;
        let input = program.child.stdin.take().context("no standard input")?;
        let output = program.child.stdout.take().context("no standard output")?;
        Ok((program, input, output))
    }

    fn log(&self, folder: &Path) -> anyhow::Result<std::fs::File> {
        Ok(OpenOptions::new().append(true).create(true).open(folder.join(format!("{}.log", self.name)))?)
    }

    fn start(mut self) -> anyhow::Result<Program> {
        let child = self.command.spawn().with_context(|| format!("cannot start {}", self.name))?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Program { name: self.name, address: self.address, pid, child })
    }
}

impl Program {
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it takes connections.
    pub(crate) async fn listening(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect(self.address).await.is_err() {
            self.check()?;
            anyhow::ensure!(Instant::now() < until, "{} does not listen", self.name);
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until it says at `/readyz` that it is ready: one that listens may still wait for its servers.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        self.listening().await?;
        let until = Instant::now() + READY_WITHIN;
        loop {
            let mut connection = Connection::open(self.address).await?;
            // its port may be bound before it serves, and the question then waits
            if let Ok(Ok(answer)) = timeout(ANSWERS_WITHIN, connection.ask(&get("/readyz"))).await
                && answer.status == 200
            {
                return Ok(());
            }
            self.check()?;
            anyhow::ensure!(Instant::now() < until, "{} is not ready", self.name);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("{} ended by itself: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Ends it in order, or by force.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.pid {
            let _ = kill_process(pid, Signal::TERM);
            let ended = timeout(ENDS_WITHIN, self.child.wait()).await;
            if ended.is_err() {
                let _ = kill_process_group(pid, Signal::KILL);
                self.child.wait().await?;
            }
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // the group: a killed parent leaves its pool behind
        if let (Some(pid), Ok(None)) = (self.pid, self.child.try_wait()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
