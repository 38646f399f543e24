//! Unique tasks: who holds what. Taking is an insert that loses to the holder; taking over is a second step, under locks on
//! the holders' rows, so that what it reads of their tasks stays true until the commit.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::{Fate, Guarded};
use crate::store::tasks::unblock::take_turns;
use crate::task::{OnConflict, TaskId, TaskSpec, Unique};

const TAKE_UNIQUE: &str = "
    INSERT INTO task_unique (owner_id, hash, task_id, scope, until)
    SELECT owner_id, hash, task_id, scope::unique_scope, now() + period * interval '1 second'
    FROM unnest($1::int8[], $2::bytea[], $3::uuid[], $4::text[], $5::float8[]) AS n(owner_id, hash, task_id, scope, period)
    ON CONFLICT DO NOTHING
    RETURNING task_id";

const LOCK_UNIQUE: &str = "
    SELECT u.owner_id, u.hash FROM task_unique u
    JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) USING (owner_id, hash)
    ORDER BY u.owner_id, u.hash FOR UPDATE OF u";

/// The holders themselves, in the order in which every other batch takes tasks: what is read of their states afterwards
/// stays true until the commit.
const LOCK_HOLDERS: &str = "
    SELECT t.id FROM task t
    WHERE t.id = ANY(ARRAY(SELECT u.task_id FROM task_unique u
        JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) ON n.owner_id = u.owner_id AND n.hash = u.hash))
    ORDER BY t.id FOR NO KEY UPDATE";

/// What waits behind a holder that has ended holds the key from now on: whoever comes meets it, and not the one before.
const ITS_TURN: &str = "
    task_unique u JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) USING (owner_id, hash)
    WHERE u.next_id IS NOT NULL AND {over}";

/// `replace` and `keep_latest` also take the place of a task that has not started, which they cancel. What waited behind
/// the holder is behind nobody now.
const TAKE_OVER_UNIQUE: &str = "
    WITH n AS (
        SELECT * FROM unnest($1::int8[], $2::bytea[], $3::uuid[], $4::text[], $5::float8[], $6::bool[])
            AS n(owner_id, hash, task_id, scope, period, replaces)
    ), over AS (
        SELECT n.*, t.id AS replaced, u.next_id AS waited FROM n
        JOIN task_unique u ON u.owner_id = n.owner_id AND u.hash = n.hash
        LEFT JOIN task t ON t.id = u.task_id AND (t.state IN ('scheduled', 'waiting', 'queued', 'running')) IS TRUE
        WHERE CASE u.scope
                WHEN 'period' THEN u.until <= now()
                WHEN 'queued' THEN t.id IS NULL OR t.state = 'running'
                ELSE t.id IS NULL END
            OR (n.replaces AND t.state IN ('scheduled', 'waiting', 'queued'))
    ), cancelled AS (
        UPDATE task t SET state = 'cancelled', cancel_requested_at = now(), finished_at = clock_timestamp(),
            due_at = NULL
        FROM over o WHERE (t.id = o.waited OR o.replaces AND t.id = o.replaced)
            AND (t.state IN ('scheduled', 'waiting', 'queued')) IS TRUE
        RETURNING t.id
    )
    UPDATE task_unique u SET task_id = o.task_id, scope = o.scope::unique_scope, next_id = NULL,
        until = now() + o.period * interval '1 second'
    FROM over o WHERE u.owner_id = o.owner_id AND u.hash = o.hash
    RETURNING u.task_id";

/// `keep_latest` behind a holder that runs: the next one, instead of the one that was next.
const COME_NEXT: &str = "
    WITH n AS (
        SELECT n.owner_id, n.hash, n.task_id, u.next_id AS waited
        FROM unnest($1::int8[], $2::bytea[], $3::uuid[]) AS n(owner_id, hash, task_id)
        JOIN task_unique u ON u.owner_id = n.owner_id AND u.hash = n.hash AND u.task_id <> n.task_id
        WHERE u.scope = 'incomplete'
    ), cancelled AS (
        UPDATE task t SET state = 'cancelled', cancel_requested_at = now(), finished_at = clock_timestamp()
        FROM n WHERE t.id = n.waited AND (t.state = 'waiting') IS TRUE
    )
    UPDATE task_unique u SET next_id = n.task_id FROM n WHERE u.owner_id = n.owner_id AND u.hash = n.hash";

const SEE_UNIQUE: &str = "
    SELECT u.owner_id, u.hash, u.task_id, u.next_id FROM task_unique u
    JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) USING (owner_id, hash)";

/// Who holds what, by owner and hash.
pub(super) type Holders = HashMap<(i64, [u8; 32]), Holder>;

/// The task that holds a key, and the one that waits for its end.
pub(super) struct Holder {
    task: Uuid,
    next: Option<Uuid>,
}

/// What a task that waits behind a unique one tells people.
const WAITS_FOR: &str = "unique";

/// The fate of a task that is not inserted because of another; `None` for one that is.
pub(super) fn fate_beside(task: &TaskSpec, unique: &Unique, holders: &Holders) -> Option<Fate> {
    let held = holders.get(&(task.owner.0, unique.hash))?;
    let holder = TaskId(held.task);
    match unique.on_conflict {
        _ if held.task == task.id.0 || held.next == Some(task.id.0) => None,
        OnConflict::Reject => Some(Fate::Rejected(holder)),
        OnConflict::ReturnExisting | OnConflict::Replace | OnConflict::KeepLatest => Some(Fate::Existing(holder)),
    }
}

/// The task as it is inserted: waiting, where it comes next.
pub(super) fn placed(task: &TaskSpec, unique: Option<&Unique>, holders: &Holders) -> TaskSpec {
    let held = unique.and_then(|unique| holders.get(&(task.owner.0, unique.hash)));
    let waits = held.is_some_and(|held| held.next == Some(task.id.0));
    let mut task = task.clone();
    task.extra.waits_for = waits.then_some(WAITS_FOR);
    task
}

/// Takes what is free, or held by a task whose time is over; answers who holds what afterwards.
pub(super) async fn take_unique(db: &Transaction<'_>, request: &Guarded) -> Result<Holders, PgError> {
    let mut wanted: Vec<(&TaskSpec, &Unique)> =
        request.specs().filter_map(|(task, unique)| Some((task.as_ref(), unique?))).collect();
    wanted.sort_by_key(|(task, unique)| (task.owner.0, unique.hash));
    wanted.dedup_by_key(|(task, unique)| (task.owner.0, unique.hash)); // of equals the first one asks
    let owners: Vec<i64> = wanted.iter().map(|(task, _)| task.owner.0).collect();
    let hashes: Vec<&[u8]> = wanted.iter().map(|(_, unique)| unique.hash.as_slice()).collect();
    let ids: Vec<Uuid> = wanted.iter().map(|(task, _)| task.id.0).collect();
    let scopes: Vec<&str> = wanted.iter().map(|(_, unique)| unique.scope.as_str()).collect();
    let periods: Vec<Option<f64>> =
        wanted.iter().map(|(_, unique)| unique.period.map(|period| period.as_secs_f64())).collect();
    let replaces: Vec<bool> = wanted
        .iter()
        .map(|(_, unique)| matches!(unique.on_conflict, OnConflict::Replace | OnConflict::KeepLatest))
        .collect();
    let take = db.prepare_cached(TAKE_UNIQUE).await?;
    let taken = db.query(&take, &[&owners, &hashes, &ids, &scopes, &periods]).await?;
    if taken.len() < wanted.len() {
        // first the locks, then a statement that sees what their last holders committed
        let lock = db.prepare_cached(LOCK_UNIQUE).await?;
        db.query(&lock, &[&owners, &hashes]).await?;
        let lock = db.prepare_cached(LOCK_HOLDERS).await?;
        db.query(&lock, &[&owners, &hashes]).await?;
        // nobody here publishes what is queued so; a relay does at once
        let turns = db.prepare_cached(&take_turns(ITS_TURN, "0")).await?;
        db.query(&turns, &[&owners, &hashes]).await?;
        let take_over = db.prepare_cached(TAKE_OVER_UNIQUE).await?;
        let taken: HashSet<Uuid> = taken.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let lost = |index: &usize| ids.get(*index).is_some_and(|id| !taken.contains(id));
        let rest: Vec<usize> = (0..ids.len()).filter(lost).collect();
        db.query(
            &take_over,
            &[
                &pick(&owners, &rest),
                &pick(&hashes, &rest),
                &pick(&ids, &rest),
                &pick(&scopes, &rest),
                &pick(&periods, &rest),
                &pick(&replaces, &rest),
            ],
        )
        .await?;
        let keeps =
            |index: &usize| wanted.get(*index).is_some_and(|(_, unique)| unique.on_conflict == OnConflict::KeepLatest);
        let next: Vec<usize> = rest.into_iter().filter(keeps).collect();
        if !next.is_empty() {
            let come_next = db.prepare_cached(COME_NEXT).await?;
            db.execute(&come_next, &[&pick(&owners, &next), &pick(&hashes, &next), &pick(&ids, &next)]).await?;
        }
    }
    let see = db.prepare_cached(SEE_UNIQUE).await?;
    let rows = db.query(&see, &[&owners, &hashes]).await?;
    rows.iter()
        .map(|row| {
            let hash: &[u8] = row.try_get(1)?;
            let holder = Holder { task: row.try_get(2)?, next: row.try_get(3)? };
            Ok(((row.try_get(0)?, hash.try_into().unwrap_or_default()), holder))
        })
        .collect()
}

fn pick<T: Clone>(all: &[T], which: &[usize]) -> Vec<T> {
    which.iter().filter_map(|index| all.get(*index).cloned()).collect()
}
