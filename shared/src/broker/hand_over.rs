//! Hand-over: how credit comes from idle workers to the APIs, and how an API tells a worker what it has handed over to it.
//!
//! Credit is one queue, whose messages the APIs share; each session has a queue of its own, in which are the numbers of holds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Link,
    transient::{Sender, hear},
};
use crate::{
    store::tasks::{HoldId, Takers},
    task::{Credit, Credits, QueueName, SessionId},
};

/// How long an API may use credit, by its own clock.
pub const CREDIT_VALID: Duration = Duration::from_secs(1);

const CREDITS: &str = "caraway.v1.credits";

fn of_session(session: SessionId) -> String {
    format!("caraway.v1.session.{}", session.0)
}

/// The API's side: what credit it has, and the way to those who gave it. Cheap to clone.
#[derive(Clone)]
pub struct HandOver {
    credits: Arc<Mutex<Credits>>,
    sender: Sender,
}

impl HandOver {
    /// Starts to hear of credit on the current runtime.
    pub fn start(link: &Link, shutdown: &CancellationToken) -> Self {
        let credits = Arc::<Mutex<Credits>>::default();
        let (kept, heard, link_of_credit) = (shutdown.clone(), Arc::clone(&credits), link.clone());
        tokio::spawn(async move {
            let keep = |body: Vec<u8>| {
                if let Some(credit) = Credit::decode(&body) {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).add(credit, Instant::now() + CREDIT_VALID);
                }
            };
            kept.run_until_cancelled(hear(&link_of_credit, CREDITS, false, keep)).await
        });
        Self { credits, sender: Sender::start(link.clone(), shutdown.clone()) }
    }
}

impl Takers for HandOver {
    fn taker(&self, queue: &QueueName) -> Option<SessionId> {
        self.credits.lock().unwrap_or_else(PoisonError::into_inner).take(queue, Instant::now())
    }

    fn handed(&self, session: SessionId, hold: HoldId) {
        fail::fail_point!("hand_over.lost", |_| ());
        self.sender.send(of_session(session), hold.0.to_be_bytes().to_vec());
    }
}

/// A worker's side: grants credit and hears of holds. Cheap to clone.
#[derive(Clone)]
pub struct CreditLine(Sender);

impl CreditLine {
    /// Starts sending over `link` on the current runtime.
    pub fn start(link: Link, shutdown: CancellationToken) -> Self {
        Self(Sender::start(link, shutdown))
    }

    /// Grants credit to one of the APIs. Never waits.
    pub fn grant(&self, credit: &Credit) {
        fail::fail_point!("credit.lost", |_| ());
        self.0.send(CREDITS.into(), credit.encode().into_bytes());
    }

    /// Hears of what is handed over to a session, for as long as the future is polled.
    pub async fn hear(link: &Link, session: SessionId, mut each: impl FnMut(HoldId)) {
        let read = |body: Vec<u8>| {
            if let Ok(number) = <[u8; 8]>::try_from(body.as_slice()) {
                each(HoldId(i64::from_be_bytes(number)));
            }
        };
        hear(link, &of_session(session), true, read).await;
    }
}
