//! The few connections of this process to Redis, and which Redis they lead to.
//!
//! A pool makes the connections, and each of them is lent to all who ask within [`LENT_FOR`], so that their questions share
//! the way in one pipeline. Then it goes back, and is judged before it is lent again: it must answer a PING, and it tells the
//! random id (`run_id`) of the Redis process at its other end.
//!
//! Invariants: a connection never outlives the process at its other end, so what is said over a [`Session`] is said to the
//! Redis that [`Session::run`] names; where a proxy breaks that rule, it is noticed within [`LENT_FOR`]. As soon as one
//! connection has met another Redis process, the others are judged before they are used. A Redis that tells no id is asked
//! nothing. Nobody waits longer than [`PATIENCE`].

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_redis::{
    Manager, Pool, Runtime,
    redis::{self, AsyncConnectionConfig, InfoDict, RedisError, RedisResult, aio::MultiplexedConnection},
};
use tokio::sync::{Mutex, SetOnce};

use super::{breaker::Breaker, keys::Names};
use crate::{broken::Rule, telemetry::names};

/// Slower than this, PostgreSQL is the better answer. To connect counts too.
const PATIENCE: Duration = Duration::from_millis(50);
/// One is enough for what a process asks. The others are for when it is full, or stuck behind a large value.
const CONNECTIONS: usize = 4;
/// Questions under way on one connection, with which the next one is taken. Fewer would make shorter pipelines.
const QUESTIONS_MAX: usize = 64;
/// How long a connection is lent before it is judged again, which takes two exchanges.
const LENT_FOR: Duration = Duration::from_secs(1);
/// How often a Redis is asked at the start of a process what it is, where it does not answer.
const CHECKS: usize = 3;
/// Of the run id, which has 40 digits: enough to be unique for ever.
const RUN_CHARS: usize = 16;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum NoSession {
    /// Redis does not answer, or not now.
    #[error("{0}")]
    Away(String),
    /// It answers and will never be of use.
    #[error(
        "Redis tells no run_id in answer to INFO server ({0}), so copies that it brings back after a restart could not be told \
         from current ones. Set CARAWAY_REDIS_URL to a Redis or Valkey itself and not to a proxy, and let its user send INFO"
    )]
    NoRunId(String),
}

/// The way to Redis.
pub(super) struct Link {
    pool: Pool,
    lanes: [Lane; CONNECTIONS],
    /// Whose Redis this is; as long as nobody knows, nobody asks it anything.
    names: SetOnce<Names>,
    /// The Redis process that was met last.
    run: RwLock<Arc<str>>,
    breaker: Breaker,
    /// The last one that was asked told no run id, and that was logged.
    complained: AtomicBool,
}

/// A place for one of the connections.
#[derive(Default)]
struct Lane {
    lent: Mutex<Option<Lent>>,
    /// A copy for each question that is under way.
    questions: Arc<()>,
}

/// A connection out of the pool.
struct Lent {
    connection: deadpool_redis::Connection,
    /// Of this time that it is lent alone, so it tells one from another.
    run: Arc<str>,
    since: Instant,
}

/// A connection that stands, or stood.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) connection: MultiplexedConnection,
    /// Names the Redis process at the other end.
    pub(super) run: Arc<str>,
    /// Of the installation.
    pub(super) names: Names,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let bounds =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let manager = Manager::new_with_config(url, bounds)?;
        let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1).build()?;
        let (lanes, run) = (Default::default(), RwLock::new(Arc::from("")));
        let (names, breaker) = (SetOnce::new(), Breaker::new());
        Ok(Self { pool, lanes, names, run, breaker, complained: AtomicBool::default() })
    }

    /// Whose Redis this is. It cannot be changed.
    pub(super) fn belong_to(&self, names: Names) {
        let _ = self.names.set(names); // it is the same, where somebody knew it already
    }

    /// Whose Redis this is, as soon as that is known. Cancel-safe.
    pub(super) async fn names(&self) -> &Names {
        self.names.wait().await
    }

    /// Asks Redis something, within our patience; `None` when it did not answer. Cancel-safe.
    pub(super) async fn ask<T>(&self, question: impl AsyncFnOnce(Session) -> RedisResult<T>) -> Option<T> {
        let names = self.names.get()?;
        let call = self.breaker.call()?;
        let lane = self.lane();
        let mut met = None;
        let asked = async {
            let (connection, run) = self.connection(lane).await?;
            met = Some(Arc::clone(&run));
            let _question = Arc::clone(&lane.questions);
            Ok(question(Session { connection, run, names: names.clone() }).await?)
        };
        let error: NoSession = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => {
                call.ended(true);
                return Some(answer);
            }
            Ok(Err(error)) => error,
            Err(_) => NoSession::Away("no answer in time".into()),
        };
        call.ended(false);
        metrics::counter!(names::CACHE_FAILED).increment(1);
        tracing::debug!(%error, "redis did not answer");
        lane.forget(met).await;
        None
    }

    /// That it is a Redis which tells its run id, or else what is wrong. One that does not answer may well be such a Redis.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        for _ in 0..CHECKS {
            match self.connection(self.lane()).await {
                Ok(_) => break,
                Err(NoSession::Away(_)) => (),
                Err(unfit @ NoSession::NoRunId(_)) => return Err(unfit.into()),
            }
        }
        Ok(())
    }

    /// The first one with room, or else the one with the fewest questions.
    fn lane(&self) -> &Lane {
        let questions = |lane: &&Lane| Arc::strong_count(&lane.questions);
        let room = self.lanes.iter().find(|lane| questions(lane) <= QUESTIONS_MAX);
        let Some(lane) = room.or_else(|| self.lanes.iter().min_by_key(questions)) else {
            unreachable!("there are lanes")
        };
        lane
    }

    /// The lane's connection, if it was lent a moment ago and leads where the last one led; else a judged one.
    async fn connection(&self, lane: &Lane) -> Result<(MultiplexedConnection, Arc<str>), NoSession> {
        let mut lent = lane.lent.lock().await;
        let is_current = |lent: &Lent| lent.since.elapsed() < LENT_FOR && *lent.run == *self.run();
        if !lent.as_ref().is_some_and(is_current) {
            *lent = None; // which gives it back
            *lent = Some(self.lend().await?);
        }
        let Some(Lent { connection, run, .. }) = &*lent else { unreachable!("it was lent just now") };
        Ok(((**connection).clone(), Arc::clone(run)))
    }

    /// A connection that has answered, and the run id at its other end.
    async fn lend(&self) -> Result<Lent, NoSession> {
        let since = Instant::now();
        let mut connection = self.pool.get().await.map_err(|error| NoSession::Away(error.to_string()))?;
        let run = match run_in(redis::cmd("INFO").arg("server").query_async(&mut connection).await) {
            Ok(run) => run,
            Err(error) => {
                drop(deadpool_redis::Connection::take(connection)); // there is nothing to be asked over it
                if matches!(error, NoSession::NoRunId(_)) && !self.complained.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the cache stays off");
                }
                return Err(error);
            }
        };
        let run: Arc<str> = if Rule::CacheRun.is_broken() { "".into() } else { run.into() };
        *self.run.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&run);
        self.complained.store(false, Ordering::Relaxed);
        Ok(Lent { connection, run, since })
    }

    fn run(&self) -> Arc<str> {
        Arc::clone(&self.run.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lane {
    /// After a failure the next question goes over a new connection, unless another has made one already.
    async fn forget(&self, met: Option<Arc<str>>) {
        let Some(met) = met else { return };
        let mut lent = self.lent.lock().await;
        if let Some(failed) = lent.take_if(|lent| Arc::ptr_eq(&lent.run, &met)) {
            drop(deadpool_redis::Connection::take(failed.connection));
        }
    }
}

impl From<RedisError> for NoSession {
    fn from(error: RedisError) -> Self {
        Self::Away(error.to_string())
    }
}

/// The run id in the answer to `INFO server`. There never will be one where Redis does not know the command (`ERR`), or
/// forbids it.
fn run_in(told: RedisResult<InfoDict>) -> Result<String, NoSession> {
    let about = match told {
        Err(error) if matches!(error.code(), Some("ERR" | "NOPERM")) => {
            return Err(NoSession::NoRunId(error.to_string()));
        }
        told => told?,
    };
    let run: String = about.get("run_id").unwrap_or_default();
    let run: String = run.trim().chars().take(RUN_CHARS).collect();
    if run.is_empty() { Err(NoSession::NoRunId("there is none in it".into())) } else { Ok(run) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_is_known_by_its_run_id() {
        let about = InfoDict::new("# Server\r\nrun_id:0123456789abcdef0123456789abcdef01234567\r\n");
        assert_eq!(run_in(Ok(about)).unwrap(), "0123456789abcdef");
    }

    #[test]
    fn one_without_a_run_id_is_told_from_one_that_is_away() {
        for about in ["", "# Server\r\nredis_version:7.0\r\n", "run_id:\r\n"] {
            let error = run_in(Ok(InfoDict::new(about))).unwrap_err();
            assert!(
                matches!(error, NoSession::NoRunId(_)) && error.to_string().contains("CARAWAY_REDIS_URL"),
                "{error}"
            );
        }
        let away = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(run_in(Err(away.into())), Err(NoSession::Away(_))));
    }
}
