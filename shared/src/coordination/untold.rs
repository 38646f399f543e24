//! An answer on its way to its client. Dropped before the client was told, because it hung up or nobody waits for its request any
//! more, what the request brought goes to others.
//!
//! Invariant: a request that is under way when its future is dropped is awaited first, so that nothing of it comes later.

use std::time::Duration;

use bytes::Bytes;
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
    left: Left,
}

/// What a request has left behind.
#[derive(Default)]
enum Left {
    #[default]
    Nothing,
    /// A place or a grant.
    Lease,
    /// An item, with what is in it.
    Item(Bytes),
}

impl Left {
    fn by(reply: &Reply) -> Self {
        match reply {
            Reply::Held(_) | Reply::Woken { .. } | Reply::Waiting(_) | Reply::Parked(_) => Self::Lease,
            Reply::Fetched(fetched) => Self::Item(fetched.payload.clone()),
            _ => Self::Nothing,
        }
    }
}

impl Untold {
    /// A request for this lease that is about to begin.
    pub(super) fn new(coordination: &Coordination, address: &Address, lease: Uuid, asker: Uuid) -> Self {
        let (coordination, address) = (coordination.clone(), address.clone());
        Self(Some(Undo { coordination, address, lease, asker, asking: None, left: Left::Nothing }))
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
            Ok(reply) => undo.left = Left::by(reply),
            Err(_) => self.0 = None,
        }
        reply
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let Some(undo) = self.0.take() else { return };
        if undo.asking.is_some() || !matches!(undo.left, Left::Nothing) {
            undo.coordination.runtime.clone().spawn(undo.carry_out());
        }
    }
}

impl Undo {
    async fn carry_out(mut self) {
        if let Some(asking) = self.asking.take() {
            match asking.await {
                Ok(reply) => self.left = Left::by(&reply),
                // it may have been done: then a place or a grant of this request is there
                Err(_) => self.left = Left::Lease,
            }
        }
        let payload = match self.left {
            Left::Nothing => return,
            Left::Lease => None,
            Left::Item(payload) => Some(payload),
        };
        let began = Instant::now();
        let op = Op::Abandon { id: self.lease, asker: self.asker, payload };
        while let Err(error) = self.coordination.change(&self.address, op.clone()).await {
            tracing::debug!(%error, "what a client that hung up was granted cannot be given back yet");
            if began.elapsed() > UNDO_FOR {
                return;
            }
            sleep(PAUSE).await;
        }
    }
}
