//! What most tests here need: an API, a client, a database, and one ledger worker.

use std::time::Duration;

use caraway_testkit::{Api, Database, Place, Program, Stack, eventually};
use serde_json::Value;
use uuid::Uuid;

/// Ample for whatever takes no time by design.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const SLOTS: usize = 4;

/// Programs end before their servers.
pub(crate) struct Stage {
    pub(crate) api: Program,
    pub(crate) worker: Program,
    pub(crate) client: Api,
    pub(crate) database: Database,
    pub(crate) place: Place,
    #[expect(dead_code, reason = "held for its drop, which tells where the logs of a failed test are")]
    stack: Stack,
}

impl Stage {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, SLOTS).await
    }

    /// With a worker that runs so many tasks at once.
    pub(crate) async fn start_with(name: &str, slots: usize) -> Self {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, name).await;
        let api = place.api().start().await;
        let worker = place.ledger_worker("worker-1", slots).start().await;
        Self { client: place.client(&api), database: place.database().await, api, worker, place, stack }
    }

    /// One more ledger worker.
    pub(crate) async fn worker(&self, name: &str) -> Program {
        self.place.ledger_worker(name, SLOTS).start().await
    }

    /// Waits until a task runs; its document.
    pub(crate) async fn running(&self, task: Uuid) -> Value {
        self.client.wait_for(task, &["running"], SOON).await
    }

    /// Waits until the broker has confirmed the message of every task that is queued.
    pub(crate) async fn all_with_the_broker(&self) {
        eventually(SOON, "nothing is owed", async || {
            let owed = self.database.number("SELECT count(*) FROM owed").await;
            if owed == 0 { Ok(()) } else { Err(format!("{owed} rows are owed")) }
        })
        .await;
    }

    /// How its attempts ended, the first one first.
    pub(crate) async fn outcomes(&self, task: Uuid) -> Vec<String> {
        let attempts = self.client.attempts(task).await;
        attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap_or_default().into()).collect()
    }

    /// How often it was run.
    pub(crate) fn executions(&self, task: Uuid) -> usize {
        self.place.ledger().read().get(&task).map_or(0, Vec::len)
    }
}
