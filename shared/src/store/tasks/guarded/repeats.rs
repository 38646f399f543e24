//! Tasks that repeat others: the ones that they repeat are locked until the commit. So they cannot vanish meanwhile, for
//! their arguments are copied from them, and what one search repeats no other does in the same moment.

use std::collections::HashSet;

use deadpool_postgres::Transaction;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::Guarded;

const LOCK: &str = "
    SELECT t.id FROM task t WHERE t.id = ANY($1) AND (t.owner_id = $2) IS TRUE ORDER BY t.id FOR NO KEY UPDATE";

/// In a later statement than the locks, which sees what others committed under them.
const SEE_REPEATED: &str = "
    SELECT DISTINCT t.retry_of FROM unnest($1::uuid[]) AS w(id) JOIN task t ON t.retry_of = w.id";

/// Those of a request's old tasks that may be repeated.
pub(super) async fn repeatable(db: &Transaction<'_>, request: &Guarded) -> Result<HashSet<Uuid>, PgError> {
    let ids: Vec<Uuid> = request.specs().filter_map(|(task, _)| task.extra.retry_of).collect();
    let lock = db.prepare_cached(LOCK).await?;
    let mut there = read(&db.query(&lock, &[&ids, &request.owner.0]).await?)?;
    if request.once {
        let see = db.prepare_cached(SEE_REPEATED).await?;
        let repeated = read(&db.query(&see, &[&ids]).await?)?;
        there.retain(|id| !repeated.contains(id));
    }
    Ok(there)
}

fn read(rows: &[Row]) -> Result<HashSet<Uuid>, PgError> {
    rows.iter().map(|row| row.try_get(0)).collect()
}
