//! Connections to PostgreSQL: a small pool for each purpose, so that no kind of work can take another's connections.
//!
//! | pool | who takes from it | connections |
//! |---|---|---|
//! | `reads` | reads and single writes of requests | `--postgres-connections`, 8 by default |
//! | `edits` | what may wait for a lock that others hold for long (`edits.rs`) | [`EDITS`] |
//! | `lookups` | reads over lists of ids, for requests and handlers | [`LOOKUPS`] |
//! | `upkeep` | reconcilers and the relay | [`UPKEEP`] |
//! | `lazy` | what a crash of the database may forget | [`LAZY_WRITES`] |
//! | `chunks` | contents of items | [`CHUNKS`] |
//! | `beats` | the beat, and in an API the outbox of invalidations | 1 |
//! | one for each batched writer, by its name | that writer, which is serial (`batch.rs`) | 1 |
//!
//! An API has three batched writers and a worker has five, so with the default a process opens at most 26 connections. A pool
//! opens a connection when it needs one, and a worker edits nothing, so a worker opens 25.

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
    edits::Edits,
};
use crate::broken::Rule;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long somebody waits for a connection.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for lookups. As many handlers as there are slots may start at once and ask what other nodes have left; each of
/// them is a moment's work, and none of them should fail because there are many.
const LOOKUP_WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Unanswered data on a connection for this long ends it (RFC 5482): a frozen server or a black hole.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// No connection is lent that is older, give or take a tenth by chance. Then processes follow an address that leads to another
/// server, and a backend's memory does not grow for ever; by chance, so that they do not all connect at once.
const AGE_MAX: Duration = Duration::from_mins(30);
/// The part of that age which is left to chance.
const AGE_JITTER: f64 = 0.1;

/// As many as workflows are stored at once, of which one user takes two at most (`edits.rs`).
pub(super) const EDITS: usize = 3;
/// Each is held for one statement of some milliseconds.
const LOOKUPS: usize = 3;
/// A long step of one reconciler leaves room for the others, whose steps are short.
const UPKEEP: usize = 2;
/// Payments of the outbox, and beside them progress and holds.
const LAZY_WRITES: usize = 2;
/// As many chunks are written or read at once; more would only share the same disk.
const CHUNKS: usize = 4;

/// Every connection's settings: nothing waits for ever. Batches and reconcilers wait for a lock for five seconds, because
/// they try again until they get it.
const BOUNDS: &str = "-c statement_timeout=20s -c lock_timeout=5s -c idle_in_transaction_session_timeout=20s";
/// An edit waits for a lock for less: its client can repeat it, and others wait for the connection.
const BRIEF_LOCKS: &str = "-c lock_timeout=1s";
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
    pg: Config,
    reads: Lender,
    edits: Edits,
    lookups: Lender,
    upkeep: Lender,
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
        let mut pg: Config = config.url.parse()?;
        pg.application_name(config.application)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE);
        if !config.url.contains("target_session_attrs") && !Rule::DropReadOnly.is_broken() {
            pg.target_session_attrs(TargetSessionAttrs::ReadWrite); // a standby on the same address is no database of ours
        }
        let beating = format!("{} beats", config.application);
        let mut beat = pg.clone();
        beat.application_name(&beating);
        let lender = |pg, settings: &[&str], size, name| Lender::new(pool(pg, settings, size, WAIT_TIMEOUT), name);
        let lookups = pool(&pg, &[PINNED_PLAN], LOOKUPS, LOOKUP_WAIT_TIMEOUT);
        Ok(Self(Arc::new(Pools {
            reads: lender(&pg, &[], config.connections, "reads"),
            edits: Edits::new(lender(&pg, &[PINNED_PLAN, BRIEF_LOCKS], EDITS, "edits")),
            lookups: Lender::new(lookups, "lookups"),
            upkeep: lender(&pg, &[PINNED_PLAN], UPKEEP, "upkeep"),
            lazy: lender(&pg, &[PINNED_PLAN, LAZY], LAZY_WRITES, "lazy"),
            beats: lender(&beat, &[LAZY], 1, "beats"),
            chunks: lender(&pg, &[LAZY], CHUNKS, "chunks"),
            pg,
            beating,
            last_state: LastState::default(),
        })))
    }

    /// A connection for a read or a single write of a request.
    pub(super) async fn connection(&self) -> Result<Connection, StoreError> {
        self.0.reads.lend().await
    }

    /// Where a request gets the connection on which it may wait for a lock.
    pub(super) fn edits(&self) -> &Edits {
        &self.0.edits
    }

    /// A connection for a read over a list of ids, for a request or a handler.
    pub(super) async fn lookup(&self) -> Result<Connection, StoreError> {
        self.0.lookups.lend().await
    }

    /// A connection for a reconciler's statement, or the relay's.
    pub(super) async fn upkeep(&self) -> Result<Connection, StoreError> {
        self.0.upkeep.lend().await
    }

    /// The connection of one batched writer. Nobody else can take it, and `name` is its label in the gauge.
    pub(super) fn of_writer(&self, name: &'static str) -> Lender {
        Lender::new(pool(&self.0.pg, &[PINNED_PLAN], 1, WAIT_TIMEOUT), name)
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

/// A pool of up to `size` connections, each of which is waited for at most for `wait`. They have these settings beside the
/// common ones; of two that disagree the later one holds.
fn pool(pg: &Config, settings: &[&str], size: usize, wait: Duration) -> Pool {
    let mut pg = pg.clone();
    let options = [&[pg.get_options().unwrap_or_default(), BOUNDS, NO_SCANS], settings].concat().join(" ");
    pg.options(options);
    let manager = Manager::from_config(pg, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let built = Pool::builder(manager)
        .max_size(size)
        .queue_mode(QueueMode::Lifo) // the backend that worked last still has its caches warm
        .pre_recycle(retire())
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: Some(wait), create: Some(CONNECT_TIMEOUT), recycle: Some(WAIT_TIMEOUT) })
        .build();
    let Ok(pool) = built else { unreachable!("only a pool with timeouts and no runtime cannot be built") };
    pool
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
        assert!(oldest.abs_diff(*youngest) > AGE_MAX.mul_f64(0.15), "{youngest:?} {oldest:?}");
    }
}
