//! How many tasks of a user have not started: what its quota is held against.

use crate::{
    store::{Store, StoreError},
    task::OwnerId,
};

/// Along the lists' index, of which it is one stretch for each state and class. What runs stands on the shelf of what is
/// queued, and is left out by its row.
const UNSTARTED: &str = "
    SELECT count(*) FROM (
        SELECT FROM task t
        WHERE t.shelf = ANY('{scheduled,waiting,queued}'::task_state[]) AND t.class = ANY('{0,1,2}'::int2[])
            AND t.owner_id = $1 AND (t.state <> 'running') IS TRUE
        LIMIT $2) unstarted";

impl Store {
    /// Tasks of this owner that are scheduled, waiting or queued; no more than `most` are counted.
    pub async fn count_unstarted(&self, owner: OwnerId, most: i64) -> Result<i64, StoreError> {
        let db = self.connection().await?;
        let count = db.prepare_cached(UNSTARTED).await?;
        Ok(db.query_one(&count, &[&owner.0, &most]).await?.try_get(0)?)
    }
}
