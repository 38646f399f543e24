//! Sweep: what reconcilers do to tasks that are nodes. They find tasks first, and a node's workflow must be locked first: so
//! they ask which workflows there are, lock those, and only then do to their tasks what they do to all others.
//!
//! Invariant: the statement repeats its whole condition under the locks, and touches nodes of these workflows only.

use std::collections::BTreeSet;

use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::advance::{End, advance, lock};
use crate::{
    store::{Store, StoreError},
    task::State,
};

/// For a reconciler's statement: tasks that are no nodes.
pub(in crate::store) const PLAIN: &str = "workflow_id IS NULL";

/// One sweep. `find` takes the limit and returns the workflows that have such tasks; `statement` takes the parameters and
/// then those workflows, and returns `workflow_id`, `node` and `state` of what it changed.
pub(in crate::store) async fn sweep(
    store: &Store,
    find: &str,
    statement: &str,
    limit: i64,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let mut db = store.upkeep().await?;
    let found = db.prepare_cached(find).await?;
    let found = db.query(&found, &[&limit]).await?;
    if found.is_empty() {
        return Ok(found);
    }
    let workflows: BTreeSet<Uuid> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let transaction = db.transaction().await?;
    lock(&transaction, &workflows).await?;
    let workflows: Vec<Uuid> = workflows.into_iter().collect();
    let mut all: Vec<&(dyn ToSql + Sync)> = vec![&limit];
    all.extend(parameters);
    all.push(&workflows);
    let statement = transaction.prepare_cached(statement).await?;
    let changed = transaction.query(&statement, &all).await?;
    let mut ends = Vec::new();
    for row in &changed {
        let state: &str = row.try_get("state")?;
        let state: State = state.parse().map_err(|_| StoreError::Data("a task's state".into()))?;
        if state.is_terminal() {
            ends.push(End::of(row.try_get("workflow_id")?, row.try_get("node")?, state));
        }
    }
    advance(&transaction, ends).await?; // what it queues a relay publishes
    transaction.commit().await?;
    Ok(changed)
}
