//! Refuses a database that would break the promise.

use super::{Store, StoreError};

/// Settings under which a commit that was answered survives a crash. Each must be `on` (or stricter).
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

impl Store {
    /// Fails where the database may forget what it has answered.
    pub async fn check_durability(&self) -> Result<(), StoreError> {
        let db = self.connection().await?;
        for setting in DURABLE {
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
