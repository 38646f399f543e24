//! Overdue attempts: those that their worker should have ended at their hard time limit, and did not. The claim's hold tells when
//! to look; the limit and the start stand on the task. So a claim changes no indexed column of the task, and stays a HOT update.

use std::time::Duration;

use jiff::Timestamp;

use super::reclaim::Reclaim;
use crate::{
    store::{Store, StoreError},
    task::Ending,
};

/// The database gives up on a running task this long after its hard limit; the worker itself does so at the limit.
pub(super) const DEADLINE_GRACE: Duration = Duration::from_secs(10);

/// The database's clock has an end; a limit past this one is none: a hundred years.
pub(super) const DEADLINE_MS_MAX: i64 = 100 * 365 * 86_400_000;

/// Holds whose moment has come, the longest overdue first.
const HOLDS: &str = "SELECT h.session_id, h.ids FROM hold h WHERE h.overdue_at <= now() ORDER BY h.overdue_at LIMIT $1";

/// Gives these holds their next moment: that of the next attempt in them that still runs. One that is over already was skipped,
/// or found no room in this round, and is looked at again in a second.
fn postpone() -> String {
    format!(
        "WITH due AS MATERIALIZED (
            SELECT h.id, h.session_id, h.ids FROM hold h WHERE h.overdue_at <= now() ORDER BY h.overdue_at LIMIT $1
            FOR NO KEY UPDATE SKIP LOCKED
        ), next AS MATERIALIZED (
            SELECT d.id, (SELECT min({}) FROM unnest(d.ids) AS i(id) JOIN task_spec s ON s.id = i.id JOIN task_run t ON t.id = i.id
                AND (t.state = 'running' AND t.session_id = d.session_id) IS TRUE) AS at FROM due d
        )
        UPDATE hold h SET overdue_at = greatest(n.at, CASE WHEN n.at IS NOT NULL THEN now() + interval '1 second' END)
        FROM next n WHERE h.id = n.id",
        over_at()
    )
}

/// When a task that runs is overdue, by its rows `t` of `task_run` and `s` of `task_spec`; NULL if it has no limit.
fn over_at() -> String {
    let grace_ms = DEADLINE_GRACE.as_millis();
    format!("t.started_at + (least(s.timeout_ms, {DEADLINE_MS_MAX}) + {grace_ms}) * interval '1 millisecond'")
}

impl Store {
    /// Gives up on about `limit` attempts that started since then and ran past their time limit; returns how many.
    pub async fn give_up_overdue(&self, started_since: Timestamp, limit: i64) -> Result<u64, StoreError> {
        let overdue = Reclaim {
            holds: HOLDS,
            condition: format!("t.started_at >= '{started_since}' AND {} <= now()", over_at()),
            ending: |_| Ending::Overdue,
        };
        let given_up = overdue.run(self, limit).await?.len();
        let db = self.upkeep().await?;
        let postpone = db.prepare_cached(&postpone()).await?;
        db.execute(&postpone, &[&limit]).await?;
        Ok(u64::try_from(given_up).unwrap_or(u64::MAX))
    }
}
