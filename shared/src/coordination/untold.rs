//! An answer on its way to its client. Dropped before the client was told, because it hung up or nobody waits for its request any
//! more, what the request brought goes to others.
//!
//! Invariant: a request that is under way when its future is dropped is awaited first, so that nothing of it comes later.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{Address, Coordination, Op, Reply, guard::PAUSE};
use crate::store::WriteError;

/// For how long it is tried to give back what a client that hung up was granted, while the database is away. By then all but an
/// item that was done with at once has run out by itself.
const UNDO_FOR: Duration = Duration::from_mins(2);

/// What came of a request for a lease.
pub struct LeaseAnswer {
    /// What it is.
    pub reply: Reply,
    /// Whether its client knows.
    pub untold: Untold,
}

impl LeaseAnswer {
    /// For a client within this process.
    pub(super) fn told(self) -> Reply {
        self.untold.told();
        self.reply
    }
}

/// That a client does not know yet what came of its request.
#[must_use = "dropped, it takes back what the request brought"]
pub struct Untold(Option<Undo>);

struct Undo {
    coordination: Coordination,
    address: Address,
    lease: Uuid,
    asker: Uuid,
    asking: Option<BoxFuture<'static, Result<Reply, WriteError>>>,
    /// Whether the request has brought a place, a grant or an item.
    brought: bool,
}

/// Whether a request that was answered so has brought something.
const fn brings(reply: &Reply) -> bool {
    matches!(reply, Reply::Held(_) | Reply::Woken { .. } | Reply::Waiting(_) | Reply::Parked(_) | Reply::Fetched(_))
}

impl Untold {
    /// A request for this lease that is about to begin.
    pub(super) fn new(coordination: &Coordination, address: &Address, lease: Uuid, asker: Uuid) -> Self {
        let (coordination, address) = (coordination.clone(), address.clone());
        Self(Some(Undo { coordination, address, lease, asker, asking: None, brought: false }))
    }

    /// The client knows, as far as one can tell.
    pub fn told(mut self) {
        self.0 = None;
    }

    /// Asks. Where there is no answer the client is told so, and may repeat the request: what it may have brought stays.
    pub(super) async fn ask(&mut self, op: Op) -> Result<Reply, WriteError> {
        let Some(undo) = self.0.as_mut() else {
            return Err(WriteError::Unavailable("the request is over".into()));
        };
        let (coordination, address) = (undo.coordination.clone(), undo.address.clone());
        let asking = undo.asking.insert(Box::pin(async move { coordination.change(&address, op).await }));
        let reply = asking.await;
        undo.asking = None;
        match &reply {
            Ok(reply) => undo.brought = brings(reply),
            Err(_) => self.0 = None,
        }
        reply
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let Some(undo) = self.0.take() else { return };
        if undo.asking.is_some() || undo.brought {
            undo.coordination.runtime.clone().spawn(undo.carry_out());
        }
    }
}

impl Undo {
    async fn carry_out(mut self) {
        if let Some(asking) = self.asking.take() {
            // where there is no answer it may have been done: then what it brought is there
            self.brought = asking.await.as_ref().map_or(true, brings);
        }
        if !self.brought {
            return;
        }
        let began = Instant::now();
        let op = Op::Abandon { id: self.lease, asker: self.asker };
        while let Err(error) = self.coordination.change(&self.address, op.clone()).await {
            tracing::debug!(%error, "what a client that hung up was granted cannot be given back yet");
            if began.elapsed() > UNDO_FOR {
                return;
            }
            sleep(PAUSE).await;
        }
    }
}
