//! Connections to PostgreSQL, every bound stated: a few small pools that differ only in their session
//! settings, so that no kind of work can take all connections from another.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Metrics, Pool, QueueMode, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::{Config, NoTls, config::TargetSessionAttrs};

use super::{
    StoreError,
    connection::{Connection, Lender},
    database_state::LastState,
};
use crate::broken::Rule;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Unanswered data on a connection for this long ends it (RFC 5482): a frozen server or a black hole.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// No connection is lent that is older, give or take a tenth by chance. Then processes follow an address that leads to another
/// server, and a backend's memory does not grow for ever; by chance, so that they do not all connect at once.
const AGE_MAX: Duration = Duration::from_mins(30);
/// The part of that age which is left to chance.
const AGE_JITTER: f64 = 0.1;

/// Every connection's settings: nothing waits for ever.
const BOUNDS: &str = "-c statement_timeout=20s -c lock_timeout=5s -c idle_in_transaction_session_timeout=20s";
/// No statement of ours wants to read a whole table, but to a planner that saw it empty, and on a new installation it
/// did, that looks cheapest. Where there is no other way the plan costs so much on paper that it would be compiled.
const NO_SCANS: &str = "-c enable_seqscan=off -c jit=off";
/// The batched writers' statements join a few hundred given ids to the task table by its primary key. Without this a
/// prepared `UPDATE … FROM unnest` was seen to turn to a plan a hundred times slower.
const PINNED_PLAN: &str = "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off";
/// For marks, beats and progress: losing the last ones in a crash costs a duplicate message at most.
const LAZY: &str = "-c synchronous_commit=off";
/// By the name of the one connection that each has. Who is gone is told by the server, so there is nothing to be kept up, and
/// no clock to be trusted; whoever logs in as another role is not seen.
const PROCESSES: &str = "
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";

/// Where the database is, and how many connections a process may open.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Shown in `pg_stat_activity`.
    pub application: &'static str,
    /// Connections for reads and single writes; the batched and lazy writers and contents have a few of their own.
    pub connections: usize,
}

/// The database. Cheap to clone: one count, for every request and every task has one.
#[derive(Clone)]
pub struct Store(Arc<Pools>);

struct Pools {
    reads: Lender,
    writers: Lender,
    lazy: Lender,
    beats: Lender,
    chunks: Lender,
    /// What the beat's connection is called.
    beating: String,
    last_state: LastState,
}

impl Store {
    /// Prepares the pools; connects to nothing yet.
    pub fn new(config: &StoreConfig) -> Result<Self, StoreError> {
        let beating = format!("{} beats", config.application);
        let named = config.application;
        Ok(Self(Arc::new(Pools {
            reads: Lender::new(pool(config, named, "", config.connections)?, "reads"),
            writers: Lender::new(pool(config, named, PINNED_PLAN, 6)?, "writers"),
            lazy: Lender::new(pool(config, named, &[PINNED_PLAN, LAZY].join(" "), 2)?, "lazy"),
            beats: Lender::new(pool(config, &beating, LAZY, 1)?, "beats"),
            chunks: Lender::new(pool(config, named, LAZY, 4)?, "chunks"),
            beating,
            last_state: LastState::default(),
        })))
    }

    /// A connection for a read or a single write.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        self.0.reads.lend().await
    }

    /// A connection for a statement over arrays of ids.
    pub(super) async fn writer(&self) -> Result<Connection, StoreError> {
        self.0.writers.lend().await
    }

    /// A connection whose commits may be lost in a crash of the database.
    pub(super) async fn lazy(&self) -> Result<Connection, StoreError> {
        self.0.lazy.lend().await
    }

    /// The beat's own connection, and in the API that of the outbox of invalidations: however busy the process is, it must
    /// not look dead, nor know less than it should.
    pub(super) async fn beats(&self) -> Result<Connection, StoreError> {
        self.0.beats.lend().await
    }

    /// A connection for a piece of an item's content: however many come and go, other reads must not wait for them.
    /// Commits may be lost in a crash of the database, but not below one that was not.
    pub(super) async fn chunks(&self) -> Result<Connection, StoreError> {
        self.0.chunks.lend().await
    }

    /// How many processes of this program are connected to this database, this one included.
    pub(super) async fn processes(&self, db: &Connection) -> Result<u32, StoreError> {
        let count = db.prepare_cached(PROCESSES).await?;
        let connected: i64 = db.query_one(&count, &[&self.0.beating]).await?.try_get(0)?;
        Ok(u32::try_from(connected).unwrap_or(u32::MAX).max(1))
    }

    /// What the database last said of itself.
    pub(super) fn last_state(&self) -> &LastState {
        &self.0.last_state
    }
}

fn pool(config: &StoreConfig, application: &str, settings: &str, size: usize) -> Result<Pool, StoreError> {
    let mut pg: Config = config.url.parse()?;
    let options = [pg.get_options().unwrap_or_default(), BOUNDS, NO_SCANS, settings].join(" ");
    pg.options(options)
        .application_name(application)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE);
    if !config.url.contains("target_session_attrs") && !Rule::DropReadOnly.is_broken() {
        pg.target_session_attrs(TargetSessionAttrs::ReadWrite); // a standby on the same address is no database of ours
    }
    let manager = Manager::from_config(pg, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(size)
        .queue_mode(QueueMode::Lifo) // the backend that worked last still has its caches warm
        .pre_recycle(retire())
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: Some(WAIT_TIMEOUT), create: Some(CONNECT_TIMEOUT), recycle: Some(WAIT_TIMEOUT) })
        .build()
        .map_err(|error| StoreError::Unavailable(Box::new(error)))
}

/// Refuses to lend a connection that is past its age; the pool then makes a new one.
fn retire() -> Hook {
    let chance = RandomState::new();
    Hook::sync_fn(move |_, metrics: &Metrics| {
        // by the moment of its making, so that a connection's age does not change from one look to the next
        let limit = age_max(chance.hash_one(metrics.created));
        if metrics.age() < limit { Ok(()) } else { Err(HookError::message("the connection is past its age")) }
    })
}

/// The age at which a connection goes; `chance` is any number.
fn age_max(chance: u64) -> Duration {
    const STEPS: u32 = 1 << 16;
    let part = f64::from(u32::try_from(chance % u64::from(STEPS)).unwrap_or(0)) / f64::from(STEPS);
    AGE_MAX.mul_f64(1.0 - AGE_JITTER + 2.0 * AGE_JITTER * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_at_about_their_age_and_not_all_at_once() {
        let ages: Vec<Duration> = (0..1000_u64).map(|made| age_max(RandomState::new().hash_one(made))).collect();
        let (youngest, oldest) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(*youngest >= AGE_MAX.mul_f64(0.9) && *oldest < AGE_MAX.mul_f64(1.1), "{youngest:?} {oldest:?}");
        assert!(*oldest - *youngest > AGE_MAX.mul_f64(0.15), "{youngest:?} {oldest:?}");
    }
}
