//! Cancel all that a user has not finished: its plain tasks in pieces, its workflows one by one, each under its own lock.

use uuid::Uuid;

use super::cancel::cancel;
use crate::{
    store::{Store, StoreError, workflows::sweep::PLAIN},
    task::OwnerId,
};

/// Along the lists' index. What runs stands on the shelf of what is queued.
const FIND: &str = "
    SELECT id, workflow_id FROM task t
    WHERE t.shelf = ANY('{scheduled,waiting,queued}'::task_state[]) AND t.class = ANY('{0,1,2}'::int2[])
        AND t.owner_id = $1 AND (t.cancel_requested_at IS NULL) IS TRUE
    LIMIT $2";

/// Tasks of one statement.
const AT_ONCE: i64 = 1000;

impl Store {
    /// Cancels up to a thousand unfinished tasks of a user, and the whole workflows that they are nodes of; whether there may
    /// be more. What runs is asked to stop. Safe to repeat.
    pub async fn cancel_some_of(&self, owner: OwnerId) -> Result<bool, StoreError> {
        self.cancel_next_of(owner).await.map_err(StoreError::of_edit)
    }

    async fn cancel_next_of(&self, owner: OwnerId) -> Result<bool, StoreError> {
        let db = self.edits().begin(owner, None).await?;
        let find = db.prepare_cached(FIND).await?;
        let (mut plain, mut workflows) = (Vec::new(), Vec::new());
        for row in db.query(&find, &[&owner.0, &AT_ONCE]).await? {
            match row.try_get::<_, Option<Uuid>>(1)? {
                None => plain.push(row.try_get::<_, Uuid>(0)?),
                Some(workflow) => workflows.push(workflow),
            }
        }
        let found = plain.len() + workflows.len();
        plain.sort_unstable();
        let cancel = db.prepare_cached(&cancel("t.id = ANY($1)", PLAIN)).await?;
        db.query(&cancel, &[&plain, &owner.0]).await?;
        drop(db);
        workflows.sort_unstable();
        workflows.dedup();
        for workflow in workflows {
            self.cancel_workflow(owner, workflow).await?;
        }
        Ok(found > 0)
    }
}
