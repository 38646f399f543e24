//! Rescue: what a dead session held is tried again, or ends where its budget, its policy or our patience is spent.

use std::time::Duration;

use uuid::Uuid;

use super::{claim::suspect_losses, reclaim::Reclaim};
use crate::{
    broken::Rule,
    store::{Store, StoreError},
    task::{Ending, Outcome, TaskError},
};

/// The holds of dead sessions.
const HOLDS: &str = "
    SELECT h.session_id, h.ids FROM hold h
    WHERE NOT EXISTS (SELECT FROM session s WHERE s.id = h.session_id AND NOT s.dead OFFSET 0)";

/// What one round of rescue did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Rescued {
    /// To be tried again.
    pub again: u64,
    /// Ended as poison.
    pub poison: u64,
    /// Ended because no attempt was left, or because the policy allows none after this.
    pub spent: u64,
    /// Ended because their cancellation was requested.
    pub cancelled: u64,
}

impl Rescued {
    /// How many rows it touched.
    pub const fn total(self) -> u64 {
        self.again + self.poison + self.spent + self.cancelled
    }
}

impl Store {
    /// Rescues up to `limit` tasks of dead sessions.
    pub async fn rescue(&self, limit: i64) -> Result<Rescued, StoreError> {
        if Rule::RescueState.is_broken() {
            return self.rescue_late(limit).await;
        }
        // a suspect that is lost again is poison: it ends, so that it cannot take one worker after another with it
        let ending = |losses| Ending::Lost { poison: losses >= suspect_losses() };
        let lost = Reclaim { holds: HOLDS, condition: "true".into(), ending };
        let mut rescued = Rescued::default();
        for outcome in lost.run(self, limit).await? {
            *match outcome {
                Outcome::Retry { .. } | Outcome::Release => &mut rescued.again,
                Outcome::Fail(error) if error.code == TaskError::POISON => &mut rescued.poison,
                Outcome::Fail(_) | Outcome::Succeed(_) => &mut rescued.spent,
                Outcome::Cancel => &mut rescued.cancelled,
            } += 1;
        }
        Ok(rescued)
    }

    /// For a negative control: looks, waits, and then acts on what it saw, whatever has become of it.
    async fn rescue_late(&self, limit: i64) -> Result<Rescued, StoreError> {
        let db = self.connection().await?;
        let held = "SELECT t.id FROM task_run t JOIN session s ON s.id = t.session_id
            WHERE s.dead AND t.state = 'running' LIMIT $1";
        let rows = db.query(held, &[&limit]).await?;
        let held: Vec<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        drop(db);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let take = "UPDATE task_run SET state = 'queued', session_id = NULL, finished_at = NULL WHERE id = ANY($1)";
        let again = self.connection().await?.execute(take, &[&held]).await?;
        Ok(Rescued { again, ..Rescued::default() })
    }
}
