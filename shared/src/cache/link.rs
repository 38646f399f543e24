//! The one connection of this process to Redis, on which all requests share the way, and which Redis it leads to.
//!
//! Invariants: every Redis process has a random id of its own (`run_id`), which the link asks for once a connection, and a
//! connection never outlives the process at its other end; so what is said over a [`Session`] is said to the Redis that
//! [`Session::run`] names. Nobody waits longer than [`PATIENCE`].

use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, InfoDict, RedisResult, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use super::breaker::Breaker;
use crate::{broken::Rule, telemetry::names};

/// Slower than this, PostgreSQL is the better answer. To connect counts too.
const PATIENCE: Duration = Duration::from_millis(50);
/// Of the run id, which has 40 digits: enough to be unique for ever.
const RUN_CHARS: usize = 16;

/// The way to Redis.
pub(super) struct Link {
    client: Client,
    session: Mutex<Option<Session>>,
    breaker: Breaker,
}

/// A connection that stands, or stood.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) connection: MultiplexedConnection,
    /// Names the Redis process at the other end.
    pub(super) run: Arc<str>,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(url: &str) -> RedisResult<Self> {
        Ok(Self { client: Client::open(url)?, session: Mutex::new(None), breaker: Breaker::new() })
    }

    /// Asks Redis something, within our patience; `None` when it did not answer. Cancel-safe.
    pub(super) async fn ask<T>(&self, question: impl AsyncFnOnce(Session) -> RedisResult<T>) -> Option<T> {
        let call = self.breaker.call()?;
        let mut met = None;
        let asked = async {
            let session = self.session().await?;
            met = Some(Arc::clone(&session.run));
            question(session).await
        };
        let error = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => {
                call.ended(true);
                return Some(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        call.ended(false);
        metrics::counter!(names::CACHE_FAILED).increment(1);
        tracing::debug!(error, "redis did not answer");
        self.forget(met).await;
        None
    }

    /// The connection that stands, or a new one.
    async fn session(&self) -> RedisResult<Session> {
        let mut standing = self.session.lock().await;
        if let Some(session) = &*standing {
            return Ok(session.clone());
        }
        let bounds =
            AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&bounds).await?;
        let about: InfoDict = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run: String = about.get("run_id").unwrap_or_default();
        let run = run.chars().take(if Rule::CacheRun.is_broken() { 0 } else { RUN_CHARS }).collect::<String>();
        let session = Session { connection, run: run.into() };
        *standing = Some(session.clone());
        Ok(session)
    }

    /// After a failure the next question goes over a new connection, unless another has made one already.
    async fn forget(&self, met: Option<Arc<str>>) {
        let Some(met) = met else { return };
        let mut standing = self.session.lock().await;
        if standing.as_ref().is_some_and(|session| Arc::ptr_eq(&session.run, &met)) {
            *standing = None;
        }
    }
}
