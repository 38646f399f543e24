//! Turns: a task that waits for a unique key is queued when the key's holder has ended.

use std::time::Duration;

use super::{
    key::KeyEffects,
    rows::{KeyId, KeyRows, read_id},
};
use crate::{
    broken::Rule,
    store::{
        Store, StoreError,
        tasks::{Owed, read_owed},
    },
};

/// Keys that seem to be due. It decides nothing, so it takes no locks: mostly there is nothing to find.
const SEEM_DUE: &str = "
    SELECT u.owner_id, u.hash FROM task_unique u
    WHERE u.next_id IS NOT NULL AND NOT EXISTS (SELECT FROM task_run t WHERE t.id = u.task_id
        AND (t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE OFFSET 0)
    LIMIT $1";

/// Others may publish what was queued after this.
const RESPITE: Duration = Duration::from_secs(1);

impl Store {
    /// Queues up to `limit` tasks whose turn has come; the caller publishes them, and a relay does if it cannot. Any number of
    /// processes may do so at once: keys that somebody else decides on are left to them.
    pub async fn unblock(&self, limit: i64) -> Result<Vec<Owed>, StoreError> {
        if Rule::DecideUnderLock.is_broken() {
            return self.unblock_late(limit).await;
        }
        let mut db = self.upkeep().await?;
        let due = db.prepare_cached(SEEM_DUE).await?;
        let due: Vec<KeyId> = db.query(&due, &[&limit]).await?.iter().map(read_id).collect::<Result<_, _>>()?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = db.transaction().await?;
        let mut rows = KeyRows::take_free(&transaction, &due).await?;
        let mut effects = KeyEffects::default();
        for key in rows.keys.values_mut() {
            key.settle(&mut effects);
        }
        let queued = rows.write(&transaction, &effects, RESPITE.as_secs_f64()).await?;
        transaction.commit().await.map_err(StoreError::of_commit)?;
        queued.iter().map(read_owed).collect()
    }
}
