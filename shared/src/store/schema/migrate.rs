//! Brings the schema up to date: one process at a time, one migration after the other.
//!
//! Invariants: a statement of a migration waits for a lock for seconds only, because all traffic on a table queues behind one
//! that waits; what failed otherwise is not tried again by this process, because it may have cost a table rewrite; nothing
//! waits here in a transaction or a statement, because `CREATE INDEX CONCURRENTLY` of another process waits for those.
//!
//! A migration whose first line is `-- no-transaction` runs outside one. It is a single statement that can be repeated
//! (`IF NOT EXISTS`): its process may die after it and before the database knows that it was applied. An index that such a
//! death left invalid is dropped first, so that it is made again.

use std::{error::Error, time::Duration};

use refinery::{Migration, Runner, Target};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Error as PgError, error::SqlState};

use super::{SchemaError, SchemaPlan, migrations, note_newer, plan, read};
use crate::store::{
    Store, StoreError,
    error::{Verdict, chain, verdict},
};

/// Any number that nobody else uses: "Caraway" in ASCII.
const LOCK: i64 = 0x0043_6172_6177_6179;
/// How often it is asked whether another process has finished.
const LOCK_EVERY: Duration = Duration::from_millis(500);
/// How often it is told that another process is waited for.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// How long a statement may wait for a table, and everybody else behind it: below a client's patience.
const LOCKS_WITHIN: &str = "SET lock_timeout = '3s'";
/// The same outside a transaction: such a statement waits for transactions that are under way, and nobody waits behind it.
const LOCKS_WITHIN_OUTSIDE: &str = "SET lock_timeout = '60s'";
/// A large table takes long.
const NO_LIMIT: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
/// Tries of a migration that does not get its locks: about two minutes beside a busy system, whose own transactions are over
/// within twenty seconds. Then a person has to look.
const TRIES: u32 = 30;
/// Between two of them, so that what queued behind the last one gets through.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// The first line of a migration that runs outside a transaction.
const OUTSIDE: &str = "-- no-transaction";
const INVALID_INDEXES: &str = "
    SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace";

impl Store {
    /// Applies what is missing. Any number of processes may start at once.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        let migrations = migrations();
        let connection = self.connection().await?;
        let (applied, oldest) = read(&connection).await?;
        if let SchemaPlan::Ready { newer } = plan(&migrations, &applied, oldest)? {
            note_newer(newer);
            return Ok(());
        }
        // not the pool's any more: the session's lock and settings end with it, whatever happens
        let mut connection = connection.take();
        let client: &mut Client = &mut connection;
        client.batch_execute(NO_LIMIT).await?;
        lock(client).await?;
        let (applied, oldest) = read(client).await?; // another process may have migrated meanwhile
        if let SchemaPlan::Apply(pending) = plan(&migrations, &applied, oldest)? {
            for migration in pending {
                apply(client, &migrations, migration).await?;
            }
        }
        Ok(())
    }
}

/// Waits until no other process migrates. It asks again and again, because who waits in a statement holds a snapshot.
async fn lock(client: &Client) -> Result<(), PgError> {
    let mut told: Option<Instant> = None;
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.try_get::<_, bool>(0)? {
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::info!("another process migrates the schema; waiting for it");
            told = Some(Instant::now());
        }
        sleep(LOCK_EVERY).await;
    }
    Ok(())
}

/// One migration, as often as it does not get its locks.
async fn apply(client: &mut Client, migrations: &[Migration], migration: &Migration) -> Result<(), SchemaError> {
    let name = migration.to_string();
    let began = Instant::now();
    tracing::info!(migration.name = name, "migrating the schema");
    let mut tries = 0;
    loop {
        tries += 1;
        let Err(error) = run(client, migrations, migration).await else { break };
        let error = Refusal::of(error.as_ref());
        match error.remedy {
            Remedy::TryAgain if tries < TRIES => {
                let cause = error.cause;
                tracing::warn!(
                    migration.name = name,
                    tries,
                    cause,
                    "the migration did not get its locks; trying again"
                );
                sleep(TRY_EVERY).await;
            }
            Remedy::TryAgain => return Err(SchemaError::Locked { migration: name, tries, cause: error.cause }),
            Remedy::Wait => return Err(StoreError::Unavailable(error.cause.into()).into()),
            Remedy::Person => return Err(SchemaError::Failed { migration: name, cause: error.cause }),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    tracing::info!(migration.name = name, migration.seconds = seconds, "the schema is migrated");
    Ok(())
}

/// Runs it and notes that it was applied.
async fn run(
    client: &mut Client,
    migrations: &[Migration],
    migration: &Migration,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let runner = Runner::new(migrations);
    if !is_outside(migration) {
        client.batch_execute(LOCKS_WITHIN).await?;
        runner.set_target(Target::Version(migration.version())).run_async(client).await?;
        return Ok(());
    }
    client.batch_execute(LOCKS_WITHIN_OUTSIDE).await?;
    let sql = migration.sql().unwrap_or_default();
    drop_invalid_indexes(client, sql).await?;
    client.batch_execute(sql).await?;
    runner.set_target(Target::FakeVersion(migration.version())).run_async(client).await?;
    Ok(())
}

fn is_outside(migration: &Migration) -> bool {
    migration.sql().and_then(|sql| sql.lines().next()).is_some_and(|line| line.trim() == OUTSIDE)
}

/// Drops what an earlier try of this migration left behind: indexes that it names and that nothing can use.
async fn drop_invalid_indexes(client: &Client, sql: &str) -> Result<(), PgError> {
    for row in client.query(INVALID_INDEXES, &[]).await? {
        let index: String = row.try_get(0)?;
        if sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == index) {
            tracing::warn!(index, "an earlier try left this index invalid; it is dropped and made again");
            client.batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS \"{index}\"")).await?;
        }
    }
    Ok(())
}

/// Why a migration was not applied.
struct Refusal {
    remedy: Remedy,
    cause: String,
}

/// What may help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Remedy {
    /// The same soon, by this process: only locks were in the way.
    TryAgain,
    /// The database has to come back.
    Wait,
    /// A person.
    Person,
}

impl Refusal {
    fn of(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        match database_error(error) {
            Some(error) => Self { remedy: remedy(error), cause: chain(error) },
            None => Self { remedy: Remedy::Person, cause: error.to_string() },
        }
    }
}

/// The database's own word, also where refinery has wrapped it.
fn database_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PgError> {
    error.downcast_ref().or_else(|| error.source().and_then(database_error))
}

fn remedy(error: &PgError) -> Remedy {
    match (error.code(), verdict(error)) {
        (Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED), _) => Remedy::TryAgain,
        (Some(&SqlState::CANNOT_CONNECT_NOW | &SqlState::TOO_MANY_CONNECTIONS), _)
        | (_, Verdict::Unknown | Verdict::ReadOnly) => Remedy::Wait,
        _ => Remedy::Person,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process may die between such a migration and the note that it was applied.
    #[test]
    fn what_runs_outside_a_transaction_is_one_statement_that_can_be_repeated() {
        for migration in migrations().iter().filter(|migration| is_outside(migration)) {
            let sql = migration.sql().unwrap();
            let statements = sql.lines().filter(|line| !line.trim().starts_with("--")).collect::<Vec<_>>().join("\n");
            assert_eq!(statements.matches(';').count(), 1, "{migration}");
            assert!(statements.contains(" IF EXISTS ") || statements.contains(" IF NOT EXISTS "), "{migration}");
        }
    }
}
