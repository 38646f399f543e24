//! A pooled connection, lent for one unit of work and returned on every path.
//!
//! Invariants: a connection that is lent is counted (`caraway_database_connections_in_use`) until it is back in its pool or
//! closed; nobody is lent one on which an earlier borrower's statement is still under way. A future that is dropped in the
//! middle of a statement cannot stop it: the server goes on, and the next borrower would wait behind a stranger's statement.
//! So such a connection stays out, and counted, until it is quiet, and is closed if that takes too long. One whose server takes
//! no writes is closed too, and not kept: a new one may reach a server that does.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Object, Pool, Transaction};
use metrics::Gauge;
use tokio::{runtime::Handle, time::timeout};
use tokio_postgres::{Error as PgError, Row, SimpleQueryMessage, Statement, ToStatement, types::ToSql};

use super::{StoreError, error::ends_connection};
use crate::{broken::Rule, telemetry::names};

/// How long an abandoned statement may go on before its connection is closed. The server ends it by itself
/// (`statement_timeout`).
const QUIET_TIMEOUT: Duration = Duration::from_secs(1);

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One pool, and how many of its connections are lent.
pub(super) struct Lender {
    pool: Pool,
    in_use: Gauge,
}

impl Lender {
    /// `name` is the label of the gauge.
    pub(super) fn new(pool: Pool, name: &'static str) -> Self {
        let in_use = metrics::gauge!(names::CONNECTIONS_IN_USE, "pool" => name);
        in_use.set(0.0);
        Self { pool, in_use }
    }

    /// Waits for a connection, within the pool's bounds.
    pub(super) async fn lend(&self) -> Result<Connection, StoreError> {
        let object = self.pool.get().await?;
        let lent = Lent::new(self.in_use.clone());
        Ok(Connection {
            object: Some(object),
            under_way: AtomicUsize::new(0),
            is_spent: AtomicBool::new(false),
            lent: Some(lent),
        })
    }
}

/// Counts one connection for as long as it lives.
struct Lent(Gauge);

impl Lent {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A connection for one unit of work. Its own methods know what is under way; whoever goes past them (the group-committing
/// writers do) must not be cancelled in the middle.
pub(super) struct Connection {
    object: Option<Object>,
    /// Statements and transactions that began and have not ended.
    under_way: AtomicUsize,
    /// Whether an answer told that it is not worth keeping.
    is_spent: AtomicBool,
    lent: Option<Lent>,
}

impl Connection {
    /// As tokio-postgres does it; so are the others.
    pub(super) async fn query<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, PgError> {
        self.watched(self.deref().query(statement, parameters)).await
    }

    pub(super) async fn query_one<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<Row, PgError> {
        self.watched(self.deref().query_one(statement, parameters)).await
    }

    pub(super) async fn query_opt<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, PgError> {
        self.watched(self.deref().query_opt(statement, parameters)).await
    }

    pub(super) async fn execute<T: ?Sized + ToStatement>(
        &self,
        statement: &T,
        parameters: Parameters<'_>,
    ) -> Result<u64, PgError> {
        self.watched(self.deref().execute(statement, parameters)).await
    }

    pub(super) async fn prepare_cached(&self, query: &str) -> Result<Statement, PgError> {
        self.watched(self.deref().prepare_cached(query)).await
    }

    /// Whether it can write.
    pub(super) async fn can_write(&self) -> Result<bool, PgError> {
        self.watched(can_write(self)).await
    }

    /// Under way until its commit has been answered. One that is dropped rolls back by itself, but later.
    pub(super) async fn transaction(&mut self) -> Result<Unit<'_>, PgError> {
        let under_way = &self.under_way;
        let Some(object) = self.object.as_mut() else { unreachable!("taken only when it is dropped") };
        under_way.fetch_add(1, Ordering::Relaxed);
        let begun = object.transaction().await;
        if let Err(error) = &begun {
            under_way.fetch_sub(1, Ordering::Relaxed);
            self.is_spent.fetch_or(ends_connection(error), Ordering::Relaxed);
        }
        Ok(Unit { transaction: begun?, under_way })
    }

    /// Takes it out of the pool for good: it is closed when this is dropped.
    pub(super) fn take(mut self) -> ClientWrapper {
        let Some(object) = self.object.take() else { unreachable!("taken only when it is dropped") };
        Object::take(object)
    }

    async fn watched<T>(&self, statement: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let ended = statement.await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        ended.inspect_err(|error| {
            self.is_spent.fetch_or(ends_connection(error), Ordering::Relaxed);
        })
    }
}

impl Deref for Connection {
    type Target = Object;

    fn deref(&self) -> &Object {
        let Some(object) = &self.object else { unreachable!("taken only when it is dropped") };
        object
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Object {
        let Some(object) = &mut self.object else { unreachable!("taken only when it is dropped") };
        object
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (Some(object), Some(lent)) = (self.object.take(), self.lent.take()) else { return };
        if Rule::ReturnConnection.is_broken() {
            return std::mem::forget((object, lent));
        }
        if self.is_spent.load(Ordering::Relaxed) {
            return drop(Object::take(object));
        }
        if self.under_way.load(Ordering::Relaxed) == 0 {
            return; // which returns it
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(quiet(object, lent))),
            Err(_) => drop(Object::take(object)),
        }
    }
}

/// Returns a connection when what is under way on it has ended, or closes it. A transaction that was not committed comes
/// here too, perhaps because the server takes no writes: so that is what is asked.
async fn quiet(object: Object, lent: Lent) {
    // answers come in order, so the answer to this one is the last
    match timeout(QUIET_TIMEOUT, can_write(&object)).await {
        Ok(Ok(true)) => (),
        Ok(Ok(false)) if Rule::DropReadOnly.is_broken() => (),
        _ => drop(Object::take(object)),
    }
    drop(lent);
}

/// Whether statements on this connection can write: not on a standby, nor where the server or the database is set to be
/// read-only.
async fn can_write(object: &Object) -> Result<bool, PgError> {
    let answers = object.simple_query("SHOW transaction_read_only").await?;
    Ok(answers.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("off"))))
}

/// A transaction on a lent connection.
pub(super) struct Unit<'a> {
    transaction: Transaction<'a>,
    under_way: &'a AtomicUsize,
}

impl Unit<'_> {
    /// Commits. Dropped in the middle, nobody knows whether it did.
    pub(super) async fn commit(self) -> Result<(), PgError> {
        let committed = self.transaction.commit().await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        committed
    }
}

impl<'a> Deref for Unit<'a> {
    type Target = Transaction<'a>;

    fn deref(&self) -> &Transaction<'a> {
        &self.transaction
    }
}

impl DerefMut for Unit<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}
