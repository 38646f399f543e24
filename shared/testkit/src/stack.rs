//! Private servers of one test, which may do with them what it likes. `deploy/dev` starts and stops them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

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

    /// Removes all that a stopped server knows.
    pub fn wipe_data(&self, server: &str) {
        self.check_own();
        let data = self.directory.join("data").join(server);
        fs::remove_dir_all(&data).unwrap_or_else(|error| panic!("cannot remove {}: {error}", data.display()));
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

    async fn run(&self, arguments: &[&str]) {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let output = command.output().await.expect("deploy/dev can be run");
        self.check(arguments, &output);
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

/// The root of the working copy.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}
