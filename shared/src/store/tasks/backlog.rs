//! The backlog: tasks that have not started and became so in one commit are one row of `backlog`, written by the same statement.
//! It is how lists, counts and the audit find what is scheduled, waiting or queued, without an index that each claim and each
//! record would have to pay for. To what runs the holds are the same (`hold.rs`).
//!
//! Invariants: a task that has not started is in a row of its stage (queued, or scheduled and waiting); a row is removed only
//! when none of its tasks is in that stage any more. A row decides nothing: a task's own row says where it stands, and a task may
//! be in several rows, because each time that it enters a stage it gets a new one.

use tokio_postgres::Row;

use crate::{
    store::{Store, StoreError},
    task::OwnerId,
};

/// A part of a statement: lists what its CTE `done` has queued.
pub(super) const LISTED: &str = "listed AS (
        INSERT INTO backlog (owner_id, queue, class, queued, ids)
        SELECT owner_id, queue, class, true, array_agg(id) FROM done GROUP BY owner_id, queue, class
    )";

/// Whether the task `r` is still in the stage of the row `b`. Each task is looked up by its id.
pub(in crate::store) const IS_STILL: &str =
    "(CASE WHEN b.queued THEN r.state = 'queued' ELSE r.state IN ('scheduled', 'waiting') END) IS TRUE";

/// Rows this young are left alone: their tasks are on their way.
const CLEARED_AGE: &str = "2 seconds";

/// Tasks that are looked at one by one when an owner's are counted. Of more than that the rest is counted by rows.
pub(in crate::store) const EXACT_MAX: i64 = 10_000;
/// Rows that one count reads at most: at 25 tasks a commit, a million.
pub(in crate::store) const ROWS_MAX: i64 = 40_000;

/// Counts along the oldest rows exactly, and the rest as what the rows had when they were written. `{rows}` are the rows.
const COUNT: &str = "
    WITH b AS MATERIALIZED ({rows}), sized AS MATERIALIZED (
        SELECT b.*, sum(cardinality(b.ids)) OVER (ORDER BY b.id) AS up_to FROM b
    ), exact AS MATERIALIZED (
        SELECT DISTINCT r.id FROM sized b CROSS JOIN LATERAL unnest(b.ids) AS i(id)
        JOIN task_run r ON r.id = i.id AND {is_still} WHERE b.up_to <= $2
    )
    SELECT (SELECT count(*) FROM exact) + (SELECT coalesce(sum(cardinality(b.ids)), 0)::int8 FROM sized b WHERE b.up_to > $2)";

const OF_OWNER: &str = "SELECT id, queued, ids FROM backlog WHERE owner_id = $1 ORDER BY owner_id, queued, id LIMIT $3";

/// The next rows, and of them those go in which no task is in its stage any more.
const CLEAR: &str = "
    WITH seen AS MATERIALIZED (
        SELECT b.id, b.queued, b.ids FROM backlog b WHERE b.id > $1 ORDER BY b.id LIMIT $2
    ), over AS MATERIALIZED (
        SELECT b.id FROM seen b WHERE NOT EXISTS (
            SELECT FROM unnest(b.ids) AS i(id) JOIN task_run r ON r.id = i.id AND {is_still})
    ), gone AS (
        DELETE FROM backlog b USING over o WHERE b.id = o.id AND b.since < now() - interval '{age}'
    )
    SELECT max(id), count(*) FROM seen";

impl Store {
    /// Tasks of this owner that are scheduled, waiting or queued. Exact up to ten thousand; of more, an upper bound: tasks that
    /// have started count until their row goes, some seconds after the last task of the same commit has started.
    pub async fn count_unstarted(&self, owner: OwnerId) -> Result<i64, StoreError> {
        let db = self.connection().await?;
        let count = db.prepare_cached(&COUNT.replace("{rows}", OF_OWNER).replace("{is_still}", IS_STILL)).await?;
        Ok(db.query_one(&count, &[&owner.0, &EXACT_MAX, &ROWS_MAX]).await?.try_get(0)?)
    }

    /// One step of a walk over the backlog: looks at the next `limit` rows after `after` and removes those that are over. Where
    /// the walk goes on; `None` at its end.
    pub async fn clear_backlog(&self, after: i64, limit: i64) -> Result<Option<i64>, StoreError> {
        let db = self.lazy().await?;
        let clear = CLEAR.replace("{is_still}", IS_STILL).replace("{age}", CLEARED_AGE);
        let row: Row = db.query_one(&db.prepare_cached(&clear).await?, &[&after, &limit]).await?;
        let (last, seen): (Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(last.filter(|_| seen == limit))
    }
}
