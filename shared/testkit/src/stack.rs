//! Private servers of one test, which may do with them what it likes. `deploy/dev` starts and stops them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Servers;

/// PostgreSQL, RabbitMQ and Redis of one test. When it is dropped, they are stopped, and their data is removed unless
/// the test failed.
pub struct Stack {
    name: String,
    directory: PathBuf,
    /// It belongs to all tests of a run and outlives this one.
    is_shared: bool,
}

impl Stack {
    /// Starts all three, empty, below `.dev/test-stacks/<name>`.
    pub async fn start(name: &str) -> Self {
        let stack = Self { name: name.into(), directory: test_stacks().join(name), is_shared: false };
        if stack.directory.exists() {
            stack.run(&["down", "--wipe"]).await; // of a test that failed
        }
        stack.run(&["servers"]).await;
        stack
    }

    /// The servers of the whole test run: those that `deploy/dev test` started, or else some that stay for the next
    /// run. A test shares them, so it may not stop them, and needs a [`Place`](crate::Place) of its own there.
    pub async fn shared() -> Self {
        let stack = |directory| Self { name: "shared".into(), directory, is_shared: true };
        if let Some(directory) = of_this_run() {
            return stack(directory);
        }
        let stack = stack(test_stacks().join("shared"));
        stack.run(&["servers"]).await;
        stack
    }

    /// Starts one of them again: `postgres`, `rabbitmq` or `redis`.
    pub async fn start_server(&self, server: &str) {
        self.run(&["start", server]).await;
    }

    /// Stops one in order.
    pub async fn stop(&self, server: &str) {
        self.check_own();
        self.run(&["stop", server]).await;
    }

    /// Kills one with SIGKILL.
    pub async fn kill(&self, server: &str) {
        self.check_own();
        self.run(&["kill", server]).await;
    }

    /// Stops a server's processes where they stand (SIGSTOP).
    pub fn freeze(&self, server: &str) {
        self.signal(server, Signal::STOP);
    }

    /// Lets them go on (SIGCONT).
    pub fn thaw(&self, server: &str) {
        self.signal(server, Signal::CONT);
    }

    /// A server's process id.
    pub fn pid(&self, server: &str) -> u32 {
        let file = self.directory.join("run").join(format!("{server}.pid"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        text.trim().parse().expect("a process id")
    }

    /// `rabbitmqctl` with these arguments; what it said.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        self.run(&[&["rabbitmqctl"], arguments].concat()).await
    }

    /// `redis-cli` with these arguments; what it said.
    pub async fn redis_cli(&self, arguments: &[&str]) -> String {
        self.run(&[&["redis-cli"], arguments].concat()).await
    }

    /// To the server and to what it has started: PostgreSQL works in children.
    fn signal(&self, server: &str, signal: Signal) {
        self.check_own();
        let pid = self.pid(server);
        for pid in [vec![pid], children(pid)].concat() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
            let _ = kill_process(pid, signal); // a child may have ended meanwhile
        }
    }

    /// Removes all that a stopped server knows.
    pub fn wipe_data(&self, server: &str) {
        self.check_own();
        let data = self.directory.join("data").join(server);
        fs::remove_dir_all(&data).unwrap_or_else(|error| panic!("cannot remove {}: {error}", data.display()));
    }

    /// Takes the last `bytes` off the append-only file of a Redis that was killed, as a loss of power does.
    pub fn cut_append_only_file(&self, bytes: u64) {
        self.check_own();
        let folder = self.directory.join("data/redis/appendonlydir");
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
        let path = files.flatten().map(|file| file.path()).find(|path| path.to_string_lossy().ends_with(".incr.aof"));
        let file = fs::File::options().write(true).open(path.expect("an append-only file")).expect("it can be opened");
        let length = file.metadata().expect("it has a length").len();
        file.set_len(length.saturating_sub(bytes)).expect("it can be cut");
    }

    /// Empties Redis.
    pub async fn flush_redis(&self) {
        self.check_own();
        self.run(&["redis-cli", "flushall"]).await;
    }

    /// Where the servers are.
    pub fn servers(&self) -> Servers {
        let file = self.directory.join("env");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let find = |variable: &str| {
            let found =
                text.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(variable)?.strip_prefix('='));
            found.unwrap_or_else(|| panic!("{} has no {variable}", file.display())).to_owned()
        };
        Servers {
            postgres_url: find("CARAWAY_POSTGRES_URL"),
            amqp_url: find("CARAWAY_AMQP_URL"),
            redis_url: find("CARAWAY_REDIS_URL"),
        }
    }

    /// Where logs belong.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn check_own(&self) {
        assert!(!self.is_shared, "the stack {} belongs to other tests too", self.name);
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let output = command.output().await.expect("deploy/dev can be run");
        self.check(arguments, &output);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(repository().join("deploy/dev"));
        command.args(arguments).env("CARAWAY_DEV_DIR", &self.directory);
        command
    }

    fn check(&self, arguments: &[&str], output: &Output) {
        assert!(
            output.status.success(),
            "deploy/dev {} failed for the stack {} ({}):\n{}{}",
            arguments.join(" "),
            self.directory.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            eprintln!("the logs of this test: {}", self.logs().display());
        }
        if self.is_shared {
            return;
        }
        let arguments: &[&str] = if failed { &["down"] } else { &["down", "--wipe"] };
        match self.command(arguments).output() {
            // a second panic while the first one unwinds would end the process before other tests have cleaned up
            Ok(output) if !failed => self.check(arguments, &output),
            Ok(_) => (),
            Err(error) => eprintln!("deploy/dev down could not be run: {error}"),
        }
    }
}

/// The stack that `deploy/dev test` started for this run. Another value of the variable is a person's own stack.
fn of_this_run() -> Option<PathBuf> {
    env::var_os("CARAWAY_DEV_DIR").map(PathBuf::from).filter(|directory| directory.ends_with("test"))
}

/// `deploy/dev test` stops whatever is left below this when it ends.
fn test_stacks() -> PathBuf {
    let state = match of_this_run() {
        Some(test) => test.parent().map(Path::to_path_buf).unwrap_or_default(),
        None => env::var_os("CARAWAY_DEV_DIR").map_or_else(|| repository().join(".dev"), PathBuf::from),
    };
    state.join("test-stacks")
}

/// The processes that this one has started.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // after the name in brackets, which may hold anything: state, parent
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()) == Some(parent)
    };
    pids.filter(is_child).collect()
}

/// The root of the working copy.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
