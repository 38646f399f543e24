//! The database's schema: which version it has, who may work with it, and how it gets to the next one.
//!
//! A program brings migrations; the number of its newest one is the schema that it needs. The database keeps which ones were
//! applied (`refinery_schema_history`), and how old a program may be that works with them (`schema_compatibility`).
//! `deploy/docs/UPGRADING.md` has the policy in operators' words.
//!
//! | part | is |
//! |---|---|
//! | `plan` | pure: what a program has to do about the schema that it finds |
//! | `error` | why a program cannot work with a schema |
//! | `installation` | which installation a database is, and of which cell |
//! | `migrate` | applies migrations, alone, with bounds on the locks that it waits for |
//! | `drill` | versions of a schema that only the fault drill has |

#[cfg(feature = "failpoints")]
pub(super) mod drill;
mod error;
mod installation;
mod migrate;
mod plan;

use refinery::Migration;
use tokio_postgres::Client;

pub use self::error::SchemaError;
use self::plan::{Applied, SchemaPlan, plan};
use super::{Store, StoreError};
use crate::task::Installation;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Whether both tables are there that tell of the schema.
const EXISTS: &str =
    "SELECT to_regclass('refinery_schema_history') IS NOT NULL, to_regclass('schema_compatibility') IS NOT NULL";
const APPLIED: &str = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
const OLDEST: &str = "SELECT oldest_version FROM schema_compatibility";

/// Where the schema stands, for a program that only works with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SchemaState {
    /// It can be worked with; whose it is.
    Ready(Installation),
    /// Somebody has to migrate first.
    Older {
        /// The database's version; none in an empty database.
        has: Option<i32>,
        /// The version that this program needs.
        needs: i32,
    },
}

impl Store {
    /// Whether this program can work with the schema as it is; fails where it never will.
    pub async fn schema_state(&self) -> Result<SchemaState, SchemaError> {
        let migrations = migrations();
        let db = self.connection().await?;
        let (applied, oldest) = read(&db).await?;
        if let SchemaPlan::Ready { newer } = plan(&migrations, &applied, oldest)?
            && let Some(installation) = installation::show(&db).await?
        {
            note_newer(newer);
            return Ok(SchemaState::Ready(installation));
        }
        Ok(SchemaState::Older {
            has: applied.last().map(|newest| newest.version),
            needs: migrations.iter().map(Migration::version).max().unwrap_or_default(),
        })
    }
}

/// What this program brings.
fn migrations() -> Vec<Migration> {
    let mut migrations = embedded::migrations::runner().get_migrations().clone();
    #[cfg(feature = "failpoints")]
    migrations.extend(drill::migrations());
    migrations.sort();
    migrations
}

/// What was applied, in order, and the oldest program that can work with it, where the schema says so.
async fn read(db: &Client) -> Result<(Vec<Applied>, Option<i32>), StoreError> {
    let exists = db.query_one(EXISTS, &[]).await?;
    let (has_history, has_oldest): (bool, bool) = (exists.try_get(0)?, exists.try_get(1)?);
    if !has_history {
        return Ok((Vec::new(), None));
    }
    let applied = db.query(APPLIED, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok::<_, StoreError>(Applied { version: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
    };
    let applied = applied.iter().map(read).collect::<Result<_, _>>()?;
    let oldest = if has_oldest { db.query_opt(OLDEST, &[]).await? } else { None };
    Ok((applied, oldest.map(|row| row.try_get(0)).transpose()?))
}

fn note_newer(newer: Option<i32>) {
    if let Some(version) = newer {
        tracing::info!(
            schema.version = version,
            "the schema is newer than this program, and says that this program can work with it"
        );
    }
}
