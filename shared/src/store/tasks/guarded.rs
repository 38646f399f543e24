//! Accept with a guard: an idempotency key, or unique tasks. A transaction of several statements, so it has a writer of
//! its own and the plain accept pays nothing for it.
//!
//! Invariants: the key's row, the answer and the tasks commit together; a guard that was lost is looked at in a later
//! statement, because the one that lost cannot see the winner's row; guards are taken in one order, so that two
//! batches never wait for each other in a circle.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::{Object, Transaction};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{TaskView, accept::insert};
use crate::{
    store::Batched,
    task::{OnConflict, OwnerId, TaskId, TaskSpec, Unique},
};

const TAKE_KEY: &str = "
    INSERT INTO idempotency (owner_id, key, fingerprint, answer)
    SELECT *, '' FROM unnest($1::int8[], $2::text[], $3::bytea[]) ON CONFLICT DO NOTHING
    RETURNING owner_id, key";

const KEEP_ANSWER: &str = "
    UPDATE idempotency i SET answer = a.answer
    FROM unnest($1::int8[], $2::text[], $3::bytea[]) AS a(owner_id, key, answer)
    WHERE i.owner_id = a.owner_id AND i.key = a.key";

const FREE_KEY: &str = "
    DELETE FROM idempotency i USING unnest($1::int8[], $2::text[]) AS k(owner_id, key)
    WHERE i.owner_id = k.owner_id AND i.key = k.key";

/// Of requests that were kept out: what they had taken before that was known.
const FREE_UNIQUE: &str = "DELETE FROM task_unique WHERE (owner_id, hash) IN (
    SELECT * FROM unnest($1::int8[], $2::bytea[])) AND task_id = ANY($3)";

const SEE_KEY: &str = "
    SELECT i.owner_id, i.key, i.fingerprint, i.answer FROM idempotency i
    JOIN unnest($1::int8[], $2::text[]) AS k(owner_id, key) USING (owner_id, key)";

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

/// `replace` also takes the place of a task that has not started, which it cancels.
const TAKE_OVER_UNIQUE: &str = "
    WITH n AS (
        SELECT * FROM unnest($1::int8[], $2::bytea[], $3::uuid[], $4::text[], $5::float8[], $6::bool[])
            AS n(owner_id, hash, task_id, scope, period, replaces)
    ), over AS (
        SELECT n.*, t.id AS replaced FROM n
        JOIN task_unique u ON u.owner_id = n.owner_id AND u.hash = n.hash
        LEFT JOIN task t ON t.id = u.task_id AND t.state IN ('scheduled', 'waiting', 'queued', 'running')
        WHERE CASE u.scope
                WHEN 'period' THEN u.until <= now()
                WHEN 'queued' THEN t.id IS NULL OR t.state = 'running'
                ELSE t.id IS NULL END
            OR (n.replaces AND t.state IN ('scheduled', 'waiting', 'queued'))
    ), cancelled AS (
        UPDATE task t SET state = 'cancelled', cancel_requested_at = now(), finished_at = clock_timestamp(),
            due_at = NULL, publish_after = NULL, published_at = NULL
        FROM over o WHERE o.replaces AND t.id = o.replaced AND t.state IN ('scheduled', 'waiting', 'queued')
        RETURNING t.id
    )
    UPDATE task_unique u SET task_id = o.task_id, scope = o.scope::unique_scope,
        until = now() + o.period * interval '1 second'
    FROM over o WHERE u.owner_id = o.owner_id AND u.hash = o.hash
    RETURNING u.task_id";

const SEE_UNIQUE: &str = "
    SELECT u.owner_id, u.hash, u.task_id FROM task_unique u
    JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) USING (owner_id, hash)";

/// An idempotency key and what it stands for.
#[derive(Clone, Debug)]
pub struct Key {
    /// 1–255 visible characters.
    pub key: String,
    /// Of the route and the body.
    pub fingerprint: [u8; 32],
}

/// One request: all its tasks share its key.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// Whose.
    pub owner: OwnerId,
    /// Its key, if it has one.
    pub key: Option<Key>,
    /// Its tasks, 1 to 1,000.
    pub tasks: Vec<(TaskSpec, Option<Unique>)>,
    /// One task that must not be accepted keeps the others out too.
    pub atomic: bool,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Admitted {
    /// It was the first; a fate for each of its tasks, in order.
    Fresh(Vec<Fate>),
    /// It was answered before, like this.
    Replayed(Vec<Fate>),
    /// The key belongs to another request.
    KeyReused,
    /// A request with this key is being decided, or was refused just now.
    InFlight,
}

/// What became of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is in; its document as it was then.
    Accepted(Box<TaskView>),
    /// This one stands for it.
    Existing(TaskId),
    /// This one keeps it out.
    Rejected(TaskId),
    /// Another task of its atomic request was kept out.
    Abandoned,
}

/// The guarded accept writer's statements.
pub struct AcceptGuarded;

impl Batched for AcceptGuarded {
    type Row = Guarded;
    type Answer = Admitted;
    const NAME: &'static str = "accept_guarded";
    const PERSISTENT: bool = false;

    fn key(row: &Guarded) -> Uuid {
        row.tasks.first().map_or(Uuid::nil(), |(task, _)| task.id.0)
    }

    fn weight(row: &Guarded) -> usize {
        row.tasks.len()
    }

    fn bytes(row: &Guarded) -> usize {
        row.tasks.iter().map(|(task, _)| task.input.len()).sum()
    }

    async fn write(&self, db: &mut Object, rows: &[&Guarded], _again: bool) -> Result<Vec<Admitted>, PgError> {
        let transaction = db.transaction().await?;
        let first = take_keys(&transaction, rows).await?;
        let fresh: Vec<&Guarded> = rows.iter().zip(&first).filter(|(_, first)| **first).map(|(row, _)| *row).collect();
        let fates = admit(&transaction, &fresh).await?;
        keep_answers(&transaction, &fresh, &fates).await?;
        let later: Vec<&Guarded> = rows.iter().zip(&first).filter(|(_, first)| !**first).map(|(row, _)| *row).collect();
        let replays = if later.is_empty() { Vec::new() } else { replay(&transaction, &later).await? };
        transaction.commit().await?;
        let (mut fates, mut replays) = (fates.into_iter().map(Admitted::Fresh), replays.into_iter());
        let next = |first| if first { fates.next() } else { replays.next() };
        Ok(first.into_iter().map(next).map(|admitted| admitted.unwrap_or(Admitted::InFlight)).collect())
    }
}

/// Takes every key that is free; whether each request is the first with its key, or has none.
async fn take_keys(db: &Transaction<'_>, rows: &[&Guarded]) -> Result<Vec<bool>, PgError> {
    let mut keyed: Vec<(i64, &Key)> = rows.iter().filter_map(|row| Some((row.owner.0, row.key.as_ref()?))).collect();
    if keyed.is_empty() {
        return Ok(vec![true; rows.len()]);
    }
    // stable: of requests with one key the first of the batch is the one that is inserted
    keyed.sort_by_key(|(owner, key)| (*owner, key.key.as_str()));
    let owners: Vec<i64> = keyed.iter().map(|(owner, _)| *owner).collect();
    let keys: Vec<&str> = keyed.iter().map(|(_, key)| key.key.as_str()).collect();
    let prints: Vec<&[u8]> = keyed.iter().map(|(_, key)| key.fingerprint.as_slice()).collect();
    let take = db.prepare_cached(TAKE_KEY).await?;
    let taken = db.query(&take, &[&owners, &keys, &prints]).await?;
    let mut won: HashSet<(i64, String)> =
        taken.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, PgError>>()?;
    let is_first = |row: &&Guarded| row.key.as_ref().is_none_or(|key| won.remove(&(row.owner.0, key.key.clone())));
    Ok(rows.iter().map(is_first).collect())
}

/// Stores the answers under their keys; a request that was kept out frees its key, as every refused request does.
async fn keep_answers(db: &Transaction<'_>, requests: &[&Guarded], fates: &[Vec<Fate>]) -> Result<(), PgError> {
    let keyed =
        requests.iter().zip(fates).filter_map(|(request, fates)| Some((request.owner.0, request.key.as_ref()?, fates)));
    let (kept, freed): (Vec<_>, Vec<_>) = keyed.partition(|(.., fates)| !fates.iter().any(Fate::is_out));
    if !kept.is_empty() {
        let owners: Vec<i64> = kept.iter().map(|(owner, ..)| *owner).collect();
        let keys: Vec<&str> = kept.iter().map(|(_, key, _)| key.key.as_str()).collect();
        let answers: Vec<Vec<u8>> =
            kept.iter().map(|(.., fates)| serde_json::to_vec(fates).unwrap_or_default()).collect();
        let keep = db.prepare_cached(KEEP_ANSWER).await?;
        db.execute(&keep, &[&owners, &keys, &answers]).await?;
    }
    if !freed.is_empty() {
        let owners: Vec<i64> = freed.iter().map(|(owner, ..)| *owner).collect();
        let keys: Vec<&str> = freed.iter().map(|(_, key, _)| key.key.as_str()).collect();
        let free = db.prepare_cached(FREE_KEY).await?;
        db.execute(&free, &[&owners, &keys]).await?;
    }
    Ok(())
}

/// What was answered to the first requests with these keys.
async fn replay(db: &Transaction<'_>, requests: &[&Guarded]) -> Result<Vec<Admitted>, PgError> {
    let keyed: Vec<(i64, &Key)> = requests.iter().filter_map(|row| Some((row.owner.0, row.key.as_ref()?))).collect();
    let owners: Vec<i64> = keyed.iter().map(|(owner, _)| *owner).collect();
    let keys: Vec<&str> = keyed.iter().map(|(_, key)| key.key.as_str()).collect();
    let see = db.prepare_cached(SEE_KEY).await?;
    let rows = db.query(&see, &[&owners, &keys]).await?;
    let mut stored: HashMap<(i64, &str), &Row> = HashMap::new();
    for row in &rows {
        stored.insert((row.try_get(0)?, row.try_get(1)?), row);
    }
    let answer = |(owner, key): (i64, &Key)| {
        let Some(row) = stored.get(&(owner, key.key.as_str())) else { return Ok(Admitted::InFlight) };
        if row.try_get::<_, &[u8]>(2)? != key.fingerprint {
            return Ok(Admitted::KeyReused);
        }
        Ok(serde_json::from_slice(row.try_get(3)?).map_or(Admitted::InFlight, Admitted::Replayed))
    };
    keyed.into_iter().map(answer).collect()
}

impl Fate {
    /// Whether the task is not in, and nothing stands for it.
    pub const fn is_out(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Abandoned)
    }
}

/// Decides the fate of every task of these requests, and inserts those that are in.
async fn admit(db: &Transaction<'_>, requests: &[&Guarded]) -> Result<Vec<Vec<Fate>>, PgError> {
    let holders = take_unique(db, requests).await?;
    let mut fates: Vec<Vec<Option<Fate>>> = requests.iter().map(|request| before_insert(request, &holders)).collect();
    let inside: Vec<&TaskSpec> = requests
        .iter()
        .zip(&fates)
        .flat_map(|(request, fates)| request.tasks.iter().zip(fates))
        .filter(|(_, fate)| fate.is_none())
        .map(|((task, _), _)| task)
        .collect();
    let accepted = if inside.is_empty() { Vec::new() } else { insert(db, &inside).await? };
    let mut views = inside.into_iter().zip(accepted).map(|(task, accepted)| TaskView::accepted(task, accepted));
    for fate in fates.iter_mut().flatten().filter(|fate| fate.is_none()) {
        *fate = views.next().map(|view| Fate::Accepted(Box::new(view)));
    }
    free_unique(db, requests, &fates).await?;
    Ok(fates.into_iter().map(|fates| fates.into_iter().flatten().collect()).collect())
}

/// Gives back what abandoned tasks had taken.
async fn free_unique(db: &Transaction<'_>, requests: &[&Guarded], fates: &[Vec<Option<Fate>>]) -> Result<(), PgError> {
    let abandoned: Vec<(&TaskSpec, &Unique)> = requests
        .iter()
        .zip(fates)
        .flat_map(|(request, fates)| request.tasks.iter().zip(fates))
        .filter(|(_, fate)| matches!(fate, Some(Fate::Abandoned)))
        .filter_map(|((task, unique), _)| Some((task, unique.as_ref()?)))
        .collect();
    if abandoned.is_empty() {
        return Ok(());
    }
    let owners: Vec<i64> = abandoned.iter().map(|(task, _)| task.owner.0).collect();
    let hashes: Vec<&[u8]> = abandoned.iter().map(|(_, unique)| unique.hash.as_slice()).collect();
    let ids: Vec<Uuid> = abandoned.iter().map(|(task, _)| task.id.0).collect();
    db.execute(FREE_UNIQUE, &[&owners, &hashes, &ids]).await?;
    Ok(())
}

type Holders = HashMap<(i64, [u8; 32]), Uuid>;

/// The fate of each task that is not inserted; `None` for one that is.
fn before_insert(request: &Guarded, holders: &Holders) -> Vec<Option<Fate>> {
    let fate = |(task, unique): &(TaskSpec, Option<Unique>)| {
        let unique = unique.as_ref()?;
        let holder = TaskId(*holders.get(&(task.owner.0, unique.hash))?);
        match unique.on_conflict {
            _ if holder == task.id => None,
            OnConflict::Reject => Some(Fate::Rejected(holder)),
            OnConflict::ReturnExisting | OnConflict::Replace => Some(Fate::Existing(holder)),
        }
    };
    let fates: Vec<Option<Fate>> = request.tasks.iter().map(fate).collect();
    if request.atomic && fates.iter().any(|fate| matches!(fate, Some(Fate::Rejected(_)))) {
        return fates.into_iter().map(|fate| fate.or(Some(Fate::Abandoned))).collect();
    }
    fates
}

/// Takes what is free, or held by a task whose time is over; answers who holds what afterwards.
async fn take_unique(db: &Transaction<'_>, requests: &[&Guarded]) -> Result<Holders, PgError> {
    let mut wanted: Vec<(&TaskSpec, &Unique)> = requests
        .iter()
        .flat_map(|request| &request.tasks)
        .filter_map(|(task, unique)| Some((task, unique.as_ref()?)))
        .collect();
    if wanted.is_empty() {
        return Ok(Holders::new());
    }
    wanted.sort_by_key(|(task, unique)| (task.owner.0, unique.hash));
    wanted.dedup_by_key(|(task, unique)| (task.owner.0, unique.hash)); // of equals the first one asks
    let owners: Vec<i64> = wanted.iter().map(|(task, _)| task.owner.0).collect();
    let hashes: Vec<&[u8]> = wanted.iter().map(|(_, unique)| unique.hash.as_slice()).collect();
    let ids: Vec<Uuid> = wanted.iter().map(|(task, _)| task.id.0).collect();
    let scopes: Vec<&str> = wanted.iter().map(|(_, unique)| unique.scope.as_str()).collect();
    let periods: Vec<Option<f64>> =
        wanted.iter().map(|(_, unique)| unique.period.map(|period| period.as_secs_f64())).collect();
    let replaces: Vec<bool> = wanted.iter().map(|(_, unique)| unique.on_conflict == OnConflict::Replace).collect();
    let take = db.prepare_cached(TAKE_UNIQUE).await?;
    let taken = db.query(&take, &[&owners, &hashes, &ids, &scopes, &periods]).await?;
    if taken.len() < wanted.len() {
        // first the locks, then a statement that sees what their last holders committed
        let lock = db.prepare_cached(LOCK_UNIQUE).await?;
        db.query(&lock, &[&owners, &hashes]).await?;
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
    }
    let see = db.prepare_cached(SEE_UNIQUE).await?;
    let rows = db.query(&see, &[&owners, &hashes]).await?;
    rows.iter()
        .map(|row| {
            let hash: &[u8] = row.try_get(1)?;
            Ok(((row.try_get(0)?, hash.try_into().unwrap_or_default()), row.try_get(2)?))
        })
        .collect()
}

fn pick<T: Clone>(all: &[T], which: &[usize]) -> Vec<T> {
    which.iter().filter_map(|index| all.get(*index).cloned()).collect()
}
