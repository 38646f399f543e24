//! Where the programs of a test run: which servers, and what of theirs is this test's own.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::{Api, Broker, Database, Launch, Ledger, Program, Stack};

/// The addresses of PostgreSQL, RabbitMQ and Redis.
#[derive(Clone, Debug)]
pub struct Servers {
    /// `postgres://…`
    pub postgres_url: String,
    /// `amqp://…`
    pub amqp_url: String,
    /// `redis://…`
    pub redis_url: String,
}

/// A database, a queue, a ledger and a folder for logs, on some servers.
pub struct Place {
    servers: Servers,
    queue: String,
    folder: PathBuf,
}

impl Place {
    /// A place of the test `name` with a new database and a queue that no other test has, so that tests can share
    /// servers.
    pub async fn on(stack: &Stack, name: &str) -> Self {
        let mut servers = stack.servers();
        let unique = Uuid::new_v4().simple().to_string();
        servers.postgres_url = Database::create(&servers.postgres_url, &format!("caraway_{unique}")).await;
        let folder = stack.logs().join(name);
        let _ = std::fs::remove_dir_all(&folder); // of an earlier run
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        Self { servers, queue: format!("q-{name}-{}", unique.get(..8).unwrap_or_default()), folder }
    }

    /// The servers, with this place's database.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The queue that is this test's own.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// `--queue <queue>=<slots>`, for a worker.
    pub fn serving(&self, slots: usize) -> [String; 2] {
        ["--queue".into(), format!("{}={slots}", self.queue)]
    }

    /// Where logs, slot files and the ledger lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The execution ledger.
    pub fn ledger(&self) -> Ledger {
        Ledger::at(self.folder.join("ledger"))
    }

    /// An API to launch.
    pub fn api(&self) -> Launch {
        Launch::new(self, "api", "api").arguments(["serve", "--http-threads", "1"])
    }

    /// The built-in worker to launch, with the demonstration tasks.
    pub fn worker(&self, name: &str) -> Launch {
        Launch::new(self, "worker", name).arguments(["--demo-tasks"])
    }

    /// A worker to launch whose tasks write the ledger. It has a slot file, so that a restart of it is known as one.
    pub fn ledger_worker(&self, name: &str, slots: usize) -> Launch {
        let slot = self.folder.join(format!("{name}.slot"));
        Launch::new(self, "ledger-worker", name)
            .arguments(self.serving(slots))
            .arguments(["--slot-file".into(), slot.display().to_string()])
    }

    /// A client of that API, whose tasks go into this place's queue.
    pub fn client(&self, api: &Program) -> Api {
        Api::new(api.url(), &self.queue)
    }

    /// The database, past the system under test.
    pub async fn database(&self) -> Database {
        Database::connect(&self.servers.postgres_url).await
    }

    /// The broker, past the system under test.
    pub async fn broker(&self) -> Broker {
        Broker::connect(&self.servers.amqp_url).await
    }
}
