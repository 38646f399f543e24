//! Hand-over: how credit comes from idle workers to the APIs, and how an API tells a worker what it has handed over to it.
//!
//! Credit is one queue, whose messages the APIs share; each session has a queue of its own, in which are the numbers of holds.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Link,
    transient::{Sender, hear},
};
use crate::{
    store::tasks::{HoldId, Takers},
    task::{Credit, Credits, InstallationId, QueueName, SessionId},
};

/// How long an API may use credit, by its own clock.
pub const CREDIT_VALID: Duration = Duration::from_secs(1);

/// Installations that share a virtual host must not be given each other's credit.
fn of_credits(installation: InstallationId) -> String {
    format!("caraway.v1.credits.{}", installation.0)
}

fn of_session(installation: InstallationId, session: SessionId) -> String {
    format!("caraway.v1.session.{}.{}", installation.0, session.0)
}

/// The API's side: what credit it has, and the way to those who gave it. Cheap to clone.
#[derive(Clone)]
pub struct HandOver {
    link: Link,
    credits: Arc<Mutex<Credits>>,
    sender: Sender,
    installation: Arc<OnceLock<InstallationId>>,
}

impl HandOver {
    /// Over this link. It has no credit before it hears of some.
    pub fn start(link: &Link, shutdown: &CancellationToken) -> Self {
        let sender = Sender::start(link.clone(), shutdown.clone());
        Self { link: link.clone(), credits: Arc::default(), sender, installation: Arc::default() }
    }

    /// Hears of the credit of this installation's workers until shutdown.
    pub async fn hear(self, installation: InstallationId, shutdown: CancellationToken) {
        let _ = self.installation.set(installation); // once only
        let keep = |body: Vec<u8>| {
            if let Some(credit) = Credit::decode(&body) {
                self.credits().add(credit, Instant::now() + CREDIT_VALID);
            }
        };
        shutdown.run_until_cancelled(hear(&self.link, &of_credits(installation), false, keep)).await;
    }

    fn credits(&self) -> MutexGuard<'_, Credits> {
        self.credits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Takers for HandOver {
    fn taker(&self, queue: &QueueName) -> Option<SessionId> {
        self.credits().take(queue, Instant::now())
    }

    fn handed(&self, session: SessionId, hold: HoldId) {
        fail::fail_point!("hand_over.lost", |_| ());
        if let Some(installation) = self.installation.get() {
            self.sender.send(of_session(*installation, session), hold.0.to_be_bytes().to_vec());
        }
    }
}

/// A worker's side: grants credit and hears of holds.
pub struct CreditLine {
    sender: Sender,
    installation: InstallationId,
}

impl CreditLine {
    /// Starts sending over `link` on the current runtime.
    pub fn start(link: Link, installation: InstallationId, shutdown: CancellationToken) -> Self {
        Self { sender: Sender::start(link, shutdown), installation }
    }

    /// Grants credit to one of the APIs. Never waits.
    pub fn grant(&self, credit: &Credit) {
        fail::fail_point!("credit.lost", |_| ());
        self.sender.send(of_credits(self.installation), credit.encode().into_bytes());
    }

    /// Hears of what is handed over to a session, for as long as the future is polled.
    pub async fn hear(&self, link: &Link, session: SessionId, mut each: impl FnMut(HoldId)) {
        let read = |body: Vec<u8>| {
            if let Ok(number) = <[u8; 8]>::try_from(body.as_slice()) {
                each(HoldId(i64::from_be_bytes(number)));
            }
        };
        hear(link, &of_session(self.installation, session), true, read).await;
    }
}
