//! Brings the schema up to date, once, whoever starts first; and refuses a database that would break the promise.

use tokio_postgres::Client;

use super::{Store, StoreError};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Any number that nobody else uses: "Caraway" in ASCII.
const LOCK: i64 = 0x0043_6172_6177_6179;

impl Store {
    /// Migrates under an advisory lock taken on the one connection that migrates (refinery takes none itself), so that
    /// any number of processes may start at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // a connection of its own, not the pool's: session locks end with it whatever happens
        let mut connection = self.connection().await?.take();
        let client: &mut Client = &mut connection;
        // another process may be migrating a large table: wait for it
        client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
        client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
        let migrated = embedded::migrations::runner().run_async(client).await;
        drop(connection);
        let report = migrated.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        for migration in report.applied_migrations() {
            tracing::info!(migration.name = %migration, "schema migrated");
        }
        Ok(())
    }

    /// Settings under which a commit that was answered survives a crash. Each must be `on` (or stricter).
    pub async fn check_durability(&self) -> Result<(), StoreError> {
        let db = self.connection().await?;
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            let value: String = db.query_one("SELECT current_setting($1)", &[&setting]).await?.try_get(0)?;
            if matches!(value.as_str(), "off" | "local") {
                return Err(StoreError::Data(format!(
                    "PostgreSQL runs with {setting} = {value}: an accepted task could be lost in a crash"
                )));
            }
        }
        Ok(())
    }
}
