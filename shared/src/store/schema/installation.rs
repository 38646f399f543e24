//! Which installation a database is: an id of its own, made by the migration, and its cell, written after the first migration in the
//! same commit as the starts of the numbers that leave the house. Neither ever changes.

use tokio_postgres::Client;

use crate::{
    store::{Store, StoreError},
    task::{Cell, Installation, InstallationId},
};

const SHOW: &str = "SELECT id, cell FROM installation";
/// Of several processes that start at once, one writes it.
const SETTLE: &str = "UPDATE installation SET cell = $1 WHERE cell IS NULL";
/// Tables whose numbers clients see and send back. What a cell numbers for itself alone (the outbox, holds) begins at 1 everywhere.
const NUMBERED: [&str; 5] = ["users", "api_key", "audit", "session", "quarantine"];

/// Which installation it is; none between the first migration and [`Store::settle_cell`].
pub(super) async fn show(db: &Client) -> Result<Option<Installation>, StoreError> {
    let row = db.query_one(SHOW, &[]).await?;
    let Some(cell) = row.try_get::<_, Option<i16>>("cell")? else { return Ok(None) };
    let cell = Cell::new(cell.into()).map_err(|error| StoreError::Data(error.to_string()))?;
    Ok(Some(Installation { id: InstallationId(row.try_get("id")?), cell }))
}

impl Store {
    /// Keeps the cell of this installation, if none is kept yet, and lets the numbers begin that name it. For the process that
    /// migrates. In cell 0 they begin at 1, as they are.
    pub async fn settle_cell(&self, cell: Cell) -> Result<(), StoreError> {
        let number = i16::try_from(cell.number()).map_err(|error| StoreError::Data(error.to_string()))?;
        let mut db = self.connection().await?;
        let transaction = db.transaction().await?;
        let settled = transaction.execute(SETTLE, &[&number]).await?;
        if settled > 0 && cell != Cell::default() {
            let first = cell.first_number();
            let starts = NUMBERED.map(|table| format!("ALTER TABLE {table} ALTER COLUMN id RESTART WITH {first};"));
            transaction.batch_execute(&starts.concat()).await?;
        }
        Ok(transaction.commit().await?)
    }
}
