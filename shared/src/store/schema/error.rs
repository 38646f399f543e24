//! Why a program cannot work with a schema. Each text names the migration and says what to do.

use crate::store::StoreError;

/// The schema cannot be used, or cannot be migrated.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database was not asked or did not answer. Where it is [unavailable](StoreError::Unavailable), try again later; all
    /// else here stays as it is until a person does something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database refused a migration.
    #[error("the migration {migration} failed, and this process does not try it again: {cause}")]
    Failed {
        /// Which.
        migration: String,
        /// What the database said.
        cause: String,
    },
    /// A migration did not get the locks that it needs.
    #[error(
        "the migration {migration} did not get its locks in {tries} tries, and was given up so that it holds up nobody else: \
         {cause}; look for long transactions in pg_stat_activity, and start this program again"
    )]
    Locked {
        /// Which.
        migration: String,
        /// How often it was tried.
        tries: u32,
        /// What the database said.
        cause: String,
    },
    /// The database has a migration of this number that is another one.
    #[error(
        "the database has the migration {migration}, and this program has another one of that number: a migration that was \
         applied must never be edited; use the program that belongs to this database"
    )]
    Diverged {
        /// Which.
        migration: String,
    },
    /// The database was made before the first release, when the schema was laid out otherwise.
    #[error(
        "the database was made by a development version from before the first release, and nothing moves its data; remove it and \
         start anew: `deploy/dev down --wipe` does so for the servers that deploy/dev runs"
    )]
    BeforeRelease,
    /// A migration came into the list below one that was applied already.
    #[error(
        "the migration {missing} was never applied, and the database has the later {newest} already: a new migration needs a \
         number above all that were ever applied"
    )]
    Skipped {
        /// What was not applied.
        missing: String,
        /// The newest that was.
        newest: String,
    },
    /// Program and database come from different lines of versions.
    #[error(
        "the database has the migration {unknown}, which this program does not know, and lacks {missing}, which it needs: they \
         come from different lines of versions; use a program that has both"
    )]
    Foreign {
        /// What the database has.
        unknown: String,
        /// What the program has.
        missing: String,
    },
    /// The schema is newer, and does not say that this program can work with it.
    #[error(
        "the schema is version {schema} and works with programs of version {} or newer, and this program has {program}: use a \
         newer version of Caraway",
        oldest.unwrap_or(*schema)
    )]
    TooNew {
        /// The database's version.
        schema: i32,
        /// The newest migration of this program.
        program: i32,
        /// The oldest program that can work with it, where the schema says so.
        oldest: Option<i32>,
    },
}

impl From<tokio_postgres::Error> for SchemaError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}
