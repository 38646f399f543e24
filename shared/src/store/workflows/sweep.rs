//! Sweep: what reconcilers do to tasks that are nodes. They find tasks first, and a node's workflow must be locked first: so
//! they ask which workflows there are, lock those, and only then do to their tasks what they do to all others.
//!
//! Invariants: the statement repeats its whole condition under the locks, and touches nodes of these workflows only; a workflow
//! that somebody else has locked is left to the next round, so that it holds up no other.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::advance::{End, advance};
use crate::{
    store::{
        Store, StoreError,
        connection::{Connection, Unit},
    },
    task::State,
};

/// In the order in which everybody locks workflows.
const LOCK_FREE: &str = "SELECT id FROM workflow WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED";

/// Tasks that are no nodes, by their row of `task_run`.
pub(in crate::store) const PLAIN: &str = "flags & 1 = 0";

/// One sweep. `find` takes the limit and returns the workflows that have such tasks; `statement` takes the limit and those
/// workflows, and returns `workflow_id`, `node` and `state` of what it changed. Returns how many those were.
pub(in crate::store) async fn sweep(
    store: &Store,
    find: &str,
    statement: &str,
    limit: i64,
) -> Result<usize, StoreError> {
    let mut db = store.upkeep().await?;
    let Some((transaction, workflows)) = find_and_lock(&mut db, find, limit).await? else { return Ok(0) };
    let statement = transaction.prepare_cached(statement).await?;
    let changed = transaction.query(&statement, &[&limit, &workflows]).await?;
    let read = |row: &Row| {
        let state: &str = row.try_get("state")?;
        let state = state.parse().map_err(|_| StoreError::Data("a task's state".into()))?;
        Ok((row.try_get("workflow_id")?, row.try_get("node")?, state))
    };
    advance_ended(&transaction, changed.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?).await?;
    transaction.commit().await?;
    Ok(changed.len())
}

/// Finds workflows, and begins a transaction that has locked them; `None` where there are none.
pub(in crate::store) async fn find_and_lock<'a>(
    db: &'a mut Connection,
    find: &str,
    limit: i64,
) -> Result<Option<(Unit<'a>, Vec<Uuid>)>, StoreError> {
    let found = db.prepare_cached(find).await?;
    let found = db.query(&found, &[&limit]).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let found: Vec<Uuid> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let transaction = db.transaction().await?;
    let lock = transaction.prepare_cached(LOCK_FREE).await?;
    let locked = transaction.query(&lock, &[&found]).await?;
    let workflows = locked.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(Some((transaction, workflows)))
}

/// Moves the workflows of these nodes on, where the node has ended. What that queues a relay publishes.
pub(in crate::store) async fn advance_ended(
    db: &Transaction<'_>,
    changed: impl IntoIterator<Item = (Uuid, i32, State)>,
) -> Result<(), StoreError> {
    let ended = changed.into_iter().filter(|(.., state)| state.is_terminal());
    advance(db, ended.map(|(workflow, node, state)| End::of(workflow, node, state)).collect()).await?;
    Ok(())
}
