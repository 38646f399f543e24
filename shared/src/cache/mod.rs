//! All of Caraway's Redis caching: copies of what never changes any more. A copy may vanish at any moment.
//!
//! Invariants: only terminal task documents are kept, so a copy is never stale; nothing waits long for Redis, and after
//! a failure nobody asks it again for a while; every key carries its owner.

mod breaker;
mod keys;
pub mod wakeups;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use deadpool_redis::{Config, Connection, Pool, PoolConfig, Runtime, Timeouts};
use redis::AsyncCommands;

use self::breaker::Breaker;
use crate::{
    task::{OwnerId, TaskId},
    telemetry::names,
};

const CONNECTIONS: usize = 8;
/// Slower than this, the row in PostgreSQL is the better answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long Redis is left alone after it failed.
const REST: Duration = Duration::from_secs(1);
/// How long a terminal document is kept at most, seconds.
const TASK_TTL: u64 = 3600;

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    pool: Pool,
    breaker: Arc<Breaker>,
}

impl Cache {
    /// Prepares the pool; connects to nothing yet.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let mut config = Config::from_url(url);
        let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
        config.pool = Some(PoolConfig { max_size: CONNECTIONS, timeouts, ..PoolConfig::default() });
        let pool = config.create_pool(Some(Runtime::Tokio1))?;
        Ok(Self { pool, breaker: Arc::new(Breaker::new(REST)) })
    }

    /// A terminal task's document, if it is there.
    pub async fn task(&self, owner: OwnerId, id: TaskId) -> Option<Bytes> {
        let key = keys::task(owner, id);
        let found: Option<Vec<u8>> = self.ask(async |redis| redis.get(key).await).await.flatten();
        if found.is_some() {
            metrics::counter!(names::CACHE_HITS).increment(1);
        }
        found.map(Bytes::from)
    }

    /// Keeps a terminal task's document, for `ttl` or an hour, whichever is shorter; for less than a second not at all.
    pub async fn keep_task(&self, owner: OwnerId, id: TaskId, document: &[u8], ttl: Duration) {
        let (key, seconds) = (keys::task(owner, id), ttl.as_secs().min(TASK_TTL));
        if seconds > 0 {
            let _: Option<()> = self.ask(async |redis| redis.set_ex(key, document, seconds).await).await;
        }
    }

    /// Whether Redis answers, for `/readyz`.
    pub async fn ping(&self) -> bool {
        let pong: Option<String> = self.ask(async |redis| redis::cmd("PING").query_async(redis).await).await;
        pong.is_some()
    }

    /// Asks Redis something, within our patience; `None` when it did not answer.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&mut Connection) -> redis::RedisResult<T>) -> Option<T> {
        if self.breaker.is_open() {
            return None;
        }
        let asked = async {
            let mut connection = self.pool.get().await.map_err(|error| error.to_string())?;
            question(&mut connection).await.map_err(|error| error.to_string())
        };
        match tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(answer) => Some(answer),
            Err(error) => {
                metrics::counter!(names::CACHE_TRIPS).increment(1);
                tracing::warn!(error, "redis does not answer and is left alone for a while");
                self.breaker.trip();
                None
            }
        }
    }
}
