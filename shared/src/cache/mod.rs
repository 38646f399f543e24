//! All of Caraway's Redis. A copy may vanish at any moment; none is ever shown that is older than a write which was
//! answered before the question.
//!
//! Beside copies and wake-ups, Redis holds how far users' rates are used up (`rates.rs`), which may be forgotten too.
//!
//! Two kinds of copies. *Terminal tasks* never change, so they are kept and found by plain SET and GET, and those that are asked
//! for again within a second in this process's own memory (`near.rs`). *Entries* change
//! (cached data), and are read through [`Cache::get_or_load`]; writes tell [`Cache::after_commit`].
//!
//! # Why no entry is ever too old
//!
//! A write is answered after its commit, and after its invalidation was confirmed or a second has passed. A read that began
//! after that answer is given one of three things:
//!
//! 1. *A row*, read after the read began: PostgreSQL shows the commit.
//! 2. *An entry that was written after the invalidation.* Its writer held a token that was drawn after the invalidation took
//!    all tokens away (`scripts.rs`), so it loaded after the commit. Where a load could lag behind
//!    (a replica), the floor, which the reader is told with its token, makes it be repeated, and its fill be refused.
//! 3. *An entry that was written before.* It is still there only in three cases, and refused in each:
//!    - *The invalidation did not reach Redis* (Redis or the way to it was away, the process died after the commit). Its row
//!      of the outbox, written in the same commit, stands until somebody has invalidated. Every process reads the outbox all
//!      the time, and serves a hit only while its last look began less than [`watch::TRUST`] ago and the entry is not older
//!      than what the outbox says (`watch.rs`). The writer whose invalidation is unconfirmed answers [`watch::TRUST`] after
//!      its commit at the earliest, so a hit after the answer rests on a look that began after the commit, and saw the row.
//!    - *Redis was restarted and has forgotten the invalidation*: an append-only file loses its last second, a snapshot
//!      more, a failover whatever had not been copied. Keys of entries carry the id of the Redis process that they were
//!      written to (`link.rs`), so nobody finds what came back. A restart costs a cold cache; nothing has to be replayed, and
//!      no assumption is made about how much was lost.
//!    - *Redis has lost parts* (eviction, `FLUSHALL`): a token or a value that is gone is a refused fill or a miss.
//!
//! What this rests on: one Redis at a time (two halves of a split Redis would each confirm), and clocks that run while a
//! process does. Time to live is for what nobody tells: rows that were changed by hand, and memory.

mod breaker;
mod entries;
mod invalidate;
mod keys;
mod link;
mod near;
mod rates;
mod replica;
mod rounds;
mod scripts;
pub mod wakeups;
pub mod watch;

use std::{
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use deadpool_redis::redis::{self, AsyncCommands, ExistenceCheck, SetExpiry, SetOptions};
use tokio::sync::Semaphore;

pub use self::entries::{Entry, Found, How, Kind, Loaded, ReadError};
pub use self::invalidate::Invalidation;
pub use self::rates::Taken;
use self::{keys::Names, link::Link, near::Near, rounds::Rounds, watch::Outstanding};
use crate::{
    task::{InstallationId, OwnerId, TaskId},
    telemetry::names,
};

/// How long a terminal document is kept at most, seconds.
const TASK_TTL: u64 = 3600;
/// How long a deleted task's key keeps out what was read before: a read takes ten seconds at most.
const GRAVE_SECONDS: u64 = 60;

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    link: Arc<Link>,
    near: Arc<Near>,
    entries: Arc<Entries>,
}

/// What reads of entries need.
struct Entries {
    /// Nothing is read from Redis.
    off: bool,
    rounds: Rounds,
    /// Loads that may be under way, so that without Redis the database is not asked by everybody at once.
    loads: Arc<Semaphore>,
    outstanding: RwLock<Arc<Outstanding>>,
    /// Rows of the outbox that are done with, to be removed at the next look at it.
    settled: Mutex<Vec<i64>>,
}

/// How a process uses the cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    /// Reads of entries go to the database. Writes still invalidate: other processes may read here.
    pub off: bool,
    /// Loads at once, at least 1: about half the connections for reads.
    pub loads_max: usize,
}

impl Cache {
    /// Connects to nothing yet, and asks nothing before it is known whose it is ([`belong_to`](Self::belong_to)).
    pub fn new(url: &str, config: CacheConfig) -> anyhow::Result<Self> {
        let entries = Entries {
            off: config.off,
            rounds: Rounds::default(),
            loads: Arc::new(Semaphore::new(config.loads_max.max(1))),
            outstanding: RwLock::default(),
            settled: Mutex::default(),
        };
        Ok(Self { link: Arc::new(Link::new(url)?), near: Arc::new(Near::new()), entries: Arc::new(entries) })
    }

    /// Tells which installation's copies these are: others may share the Redis.
    pub fn belong_to(&self, installation: InstallationId) {
        self.link.belong_to(Names::of(installation));
    }

    /// A terminal task's document, if it is there. It never changes, so it needs no token, no floor and no look at the
    /// outbox.
    pub async fn task(&self, owner: OwnerId, id: TaskId) -> Option<Bytes> {
        if let Some(document) = self.near.get(owner, id, Instant::now()) {
            metrics::counter!(names::CACHE_HITS, "kind" => "near").increment(1);
            return Some(document);
        }
        let asked = self.link.ask(async |mut session| session.connection.get(session.names.task(owner, id)).await);
        let found: Option<Vec<u8>> = asked.await.flatten();
        let document = Bytes::from(found.filter(|found| !found.is_empty())?); // an empty one is a grave
        metrics::counter!(names::CACHE_HITS, "kind" => "task").increment(1);
        self.near.keep(owner, id, &document, Instant::now());
        Some(document)
    }

    /// Keeps a terminal task's document, for `ttl` or an hour, whichever is shorter; for less than a second not at all. What is
    /// there already stays: it is the same document, or the grave of a task that was deleted meanwhile.
    pub async fn keep_task(&self, owner: OwnerId, id: TaskId, document: &[u8], ttl: Duration) {
        let seconds = ttl.as_secs().min(TASK_TTL);
        if seconds > 0 {
            let options =
                SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::EX(seconds));
            let keep = self.link.ask(async |mut session| {
                session.connection.set_options(session.names.task(owner, id), document, options).await
            });
            let _: Option<Option<String>> = keep.await;
        }
    }

    /// An error where the Redis that answers can never be used as a cache. To be asked at the start of a process; one that does
    /// not answer is waited for in service.
    pub async fn check(&self) -> anyhow::Result<()> {
        self.link.check().await
    }

    /// Forgets the document of a task that was deleted. Its grave stands for longer than any read takes, so that one which has
    /// read the row just before keeps nothing. Another process may show the document for a second from its own memory; where
    /// Redis does not answer, for as long as the copy is kept.
    pub async fn forget_task(&self, owner: OwnerId, id: TaskId) {
        self.near.forget(owner, id);
        let bury = self
            .link
            .ask(async |mut session| session.connection.set_ex(session.names.task(owner, id), "", GRAVE_SECONDS).await);
        let _: Option<()> = bury.await;
    }

    /// Whether Redis answers, for `/readyz`.
    pub async fn ping(&self) -> bool {
        let asked = self.link.ask(async |mut session| redis::cmd("PING").query_async(&mut session.connection).await);
        let pong: Option<String> = asked.await;
        pong.is_some()
    }
}
