//! The rows of unique keys: taken and locked, read, and written back. Few statements, whatever the number of keys.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use deadpool_postgres::Transaction;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::key::{KeyEffects, KeyTask, UniqueKey};
use crate::{broken::Rule, store::tasks::backlog::LISTED, task::Scope};

/// Takes what is free and locks what is not, in one step for each key: a row that another transaction removes in between is
/// inserted. (`DO NOTHING` would leave it neither taken nor locked.) The condition keeps the row as it is; the lock stays.
const TAKE: &str = "
    INSERT INTO task_unique AS u (owner_id, hash, task_id, scope, until)
    SELECT owner_id, hash, task_id, scope::unique_scope, now() + period * interval '1 second'
    FROM unnest($1::int8[], $2::bytea[], $3::uuid[], $4::text[], $5::float8[]) AS n(owner_id, hash, task_id, scope, period)
    ORDER BY owner_id, hash
    ON CONFLICT (owner_id, hash) DO UPDATE SET scope = excluded.scope WHERE false
    RETURNING owner_id, hash";

/// For a negative control: what is not free is not locked.
const TAKE_UNLOCKED: &str = "
    INSERT INTO task_unique AS u (owner_id, hash, task_id, scope, until)
    SELECT owner_id, hash, task_id, scope::unique_scope, now() + period * interval '1 second'
    FROM unnest($1::int8[], $2::bytea[], $3::uuid[], $4::text[], $5::float8[]) AS n(owner_id, hash, task_id, scope, period)
    ON CONFLICT DO NOTHING
    RETURNING owner_id, hash";

const DAWDLE: Duration = Duration::from_millis(20);

/// What the unblocker takes: rows that somebody else decides on just now are left to them.
const LOCK_FREE: &str = "
    SELECT u.owner_id, u.hash FROM task_unique u
    JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) USING (owner_id, hash)
    ORDER BY u.owner_id, u.hash FOR UPDATE OF u SKIP LOCKED";

/// In a later statement than the locks.
const READ: &str = "
    SELECT u.owner_id, u.hash, u.task_id, u.next_id, u.scope::text, extract(epoch FROM u.until - now())::float8
    FROM task_unique u JOIN unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash) USING (owner_id, hash)";

/// In the order in which every other batch takes tasks. One that has ended stays as it is without a lock; besides,
/// retention may hold it, and want its key.
const LOCK_TASKS: &str = "
    SELECT t.id FROM task_run t WHERE t.id = ANY($1)
        AND (t.state IN ('scheduled', 'waiting', 'queued', 'running') OR t.id = ANY($2)) IS TRUE
    ORDER BY t.id FOR NO KEY UPDATE";

const READ_TASKS: &str = "SELECT t.id, t.owner_id, t.queue, t.state::text FROM task t WHERE t.id = ANY($1)";

const CANCEL: &str = "
    UPDATE task_run t SET version = t.version + 1, state = 'cancelled', cancel_requested_at = now(), finished_at = clock_timestamp(), due_at = NULL
    WHERE t.id = ANY($1) AND (t.state IN ('scheduled', 'waiting', 'queued')) IS TRUE";

/// Others may publish them after so many seconds.
const QUEUE: &str = "
    WITH done AS (
        UPDATE task_run t SET state = 'queued', waiting_reason = NULL, queued_at = now(), due_at = s.expires_at,
            version = t.version + 1
        FROM unnest($1::uuid[]) AS w(id) JOIN task_spec s ON s.id = w.id WHERE t.id = w.id AND (t.state = 'waiting') IS TRUE
        RETURNING t.id, t.epoch, s.name, s.queue, s.priority, t.losses, t.owner_id, s.class
    ), {listed}, debt AS (
        INSERT INTO owed (publish_after, ids)
        SELECT now() + $2 * interval '1 second', array_agg(id) FROM done HAVING count(*) > 0 RETURNING id
    )
    SELECT b.id AS debt, d.id, d.epoch, d.name, d.queue, d.priority, d.losses FROM done d, debt b";

const SAVE: &str = "
    UPDATE task_unique u SET task_id = n.task_id, next_id = n.next_id, scope = n.scope::unique_scope,
        until = now() + n.period * interval '1 second'
    FROM unnest($1::int8[], $2::bytea[], $3::uuid[], $4::uuid[], $5::text[], $6::float8[])
        AS n(owner_id, hash, task_id, next_id, scope, period)
    WHERE u.owner_id = n.owner_id AND u.hash = n.hash";

const FREE: &str = "
    DELETE FROM task_unique u USING unnest($1::int8[], $2::bytea[]) AS n(owner_id, hash)
    WHERE u.owner_id = n.owner_id AND u.hash = n.hash";

/// Which key: whose, and the hash of what makes two tasks the same. Keys are locked in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::store::tasks) struct KeyId {
    pub(in crate::store::tasks) owner: i64,
    pub(in crate::store::tasks) hash: [u8; 32],
}

/// A key's row as it is inserted where there is none.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::tasks) struct NewKey {
    pub(in crate::store::tasks) task: Uuid,
    pub(in crate::store::tasks) scope: Scope,
    pub(in crate::store::tasks) period: Option<f64>,
}

/// Keys that are this transaction's until its end.
#[derive(Debug, Default)]
pub(in crate::store::tasks) struct KeyRows {
    pub(in crate::store::tasks) keys: BTreeMap<KeyId, UniqueKey>,
    /// As they stand in the database.
    stored: BTreeMap<KeyId, UniqueKey>,
    /// Those of the tasks to be locked that are there, and whose they are.
    pub(in crate::store::tasks) locked: HashMap<Uuid, i64>,
}

impl KeyRows {
    /// Takes these keys, and locks these other tasks besides: all that a batch decides on, in one order.
    pub(in crate::store::tasks) async fn take(
        db: &Transaction<'_>,
        wanted: &BTreeMap<KeyId, NewKey>,
        others: &[Uuid],
    ) -> Result<Self, PgError> {
        let mut taken = HashSet::new();
        if !wanted.is_empty() {
            let (owners, hashes) = columns(wanted.keys());
            let ids: Vec<Uuid> = wanted.values().map(|new| new.task).collect();
            let scopes: Vec<&str> = wanted.values().map(|new| new.scope.as_str()).collect();
            let periods: Vec<Option<f64>> = wanted.values().map(|new| new.period).collect();
            let take = db.prepare_cached(if Rule::LockUniqueKeys.is_broken() { TAKE_UNLOCKED } else { TAKE }).await?;
            let rows = db.query(&take, &[&owners, &hashes, &ids, &scopes, &periods]).await?;
            taken = rows.iter().map(read_id).collect::<Result<_, _>>()?;
        }
        let (new, old): (Vec<_>, Vec<_>) = wanted.iter().partition(|(id, _)| taken.contains(*id));
        let old: Vec<KeyId> = old.into_iter().map(|(id, _)| *id).collect();
        let mut rows = Self::read(db, &old, others).await?;
        if Rule::LockUniqueKeys.is_broken() {
            tokio::time::sleep(DAWDLE).await;
        }
        for (id, new) in new {
            rows.keys.insert(*id, UniqueKey::free());
            rows.stored.insert(*id, new.as_stored());
        }
        Ok(rows)
    }

    /// Locks those of these keys that nobody else has.
    pub(super) async fn take_free(db: &Transaction<'_>, wanted: &[KeyId]) -> Result<Self, PgError> {
        let (owners, hashes) = columns(wanted.iter());
        let lock = db.prepare_cached(LOCK_FREE).await?;
        let locked = db.query(&lock, &[&owners, &hashes]).await?;
        let locked: Vec<KeyId> = locked.iter().map(read_id).collect::<Result<_, _>>()?;
        Self::read(db, &locked, &[]).await
    }

    /// Reads keys whose rows are locked, and their tasks, which it locks first.
    async fn read(db: &Transaction<'_>, keys: &[KeyId], others: &[Uuid]) -> Result<Self, PgError> {
        let found = read_keys(db, keys).await?;
        let mut ids: Vec<Uuid> = found.iter().flat_map(|key| [Some(key.task), key.next]).flatten().collect();
        ids.extend_from_slice(others);
        let locked = lock_tasks(db, &ids, others).await?;
        let mut rows = Self::default();
        let mut tasks = HashMap::new();
        for row in read_tasks(db, &ids).await? {
            let task = read_task(&row)?;
            if locked.contains(&task.id) {
                rows.locked.insert(task.id, row.try_get(1)?);
            }
            tasks.insert(task.id, task);
        }
        for key in found {
            let task = |id| tasks.get(&id).cloned().unwrap_or(KeyTask { id, queue: None, state: None });
            let key_in_memory = key.with(task);
            rows.stored.insert(key.id, key_in_memory.clone());
            rows.keys.insert(key.id, key_in_memory);
        }
        Ok(rows)
    }

    /// Writes what was decided: the tasks that have lost their place, those whose turn has come, and the keys; the tasks that
    /// hold keys now must be there. A key whose turn did not come after all stays as it is. Answers with what was queued, as
    /// `read_owed` reads it; others may publish that `respite` seconds later.
    pub(in crate::store::tasks) async fn write(
        &self,
        db: &Transaction<'_>,
        effects: &KeyEffects,
        respite: f64,
    ) -> Result<Vec<Row>, PgError> {
        // on their way at once, one behind the other
        let ((), queued) = tokio::try_join!(cancel(db, &effects.cancelled), queue(db, &effects.turns, respite))?;
        let queued_ids: HashSet<Uuid> = queued.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let never_came = |key: &UniqueKey| {
            let holder = key.holder.as_ref().map(|holder| holder.id);
            holder.is_some_and(|id| effects.turns.contains(&id) && !queued_ids.contains(&id))
        };
        let as_stored = |id: &KeyId, key: &UniqueKey| self.stored.get(id).is_some_and(|stored| stored.is_row_of(key));
        let changed = self.keys.iter().filter(|(id, key)| !as_stored(id, key) && !never_came(key));
        let (kept, freed): (Vec<_>, Vec<_>) = changed.partition(|(_, key)| key.holder.is_some());
        tokio::try_join!(save(db, &kept), free(db, &freed))?;
        Ok(queued)
    }
}

impl NewKey {
    fn as_stored(&self) -> UniqueKey {
        let holder = KeyTask { id: self.task, queue: None, state: None };
        UniqueKey { holder: Some(holder), scope: self.scope, period: self.period, ..UniqueKey::free() }
    }
}

/// A key's row as it was read.
struct FoundKey {
    id: KeyId,
    task: Uuid,
    next: Option<Uuid>,
    scope: Scope,
    /// Seconds until its time has passed.
    left: Option<f64>,
}

impl FoundKey {
    fn read(row: &Row) -> Result<Self, PgError> {
        let scope: &str = row.try_get(4)?;
        let scope = Scope::ALL.into_iter().find(|known| known.as_str() == scope).unwrap_or_default();
        Ok(Self { id: read_id(row)?, task: row.try_get(2)?, next: row.try_get(3)?, scope, left: row.try_get(5)? })
    }

    fn with(&self, task: impl Fn(Uuid) -> KeyTask) -> UniqueKey {
        UniqueKey {
            holder: Some(task(self.task)),
            next: self.next.map(task),
            scope: self.scope,
            period: self.left,
            is_past: self.left.is_some_and(|left| left <= 0.0),
        }
    }
}

async fn read_keys(db: &Transaction<'_>, keys: &[KeyId]) -> Result<Vec<FoundKey>, PgError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (owners, hashes) = columns(keys.iter());
    let read = db.prepare_cached(READ).await?;
    db.query(&read, &[&owners, &hashes]).await?.iter().map(FoundKey::read).collect()
}

/// Locks those of these tasks that have not ended, and of the others all.
async fn lock_tasks(db: &Transaction<'_>, ids: &[Uuid], others: &[Uuid]) -> Result<HashSet<Uuid>, PgError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let lock = db.prepare_cached(LOCK_TASKS).await?;
    db.query(&lock, &[&ids, &others]).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn read_tasks(db: &Transaction<'_>, ids: &[Uuid]) -> Result<Vec<Row>, PgError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let read = db.prepare_cached(READ_TASKS).await?;
    db.query(&read, &[&ids]).await
}

async fn cancel(db: &Transaction<'_>, ids: &[Uuid]) -> Result<(), PgError> {
    if !ids.is_empty() {
        let cancel = db.prepare_cached(CANCEL).await?;
        db.execute(&cancel, &[&ids]).await?;
    }
    Ok(())
}

async fn queue(db: &Transaction<'_>, ids: &[Uuid], respite: f64) -> Result<Vec<Row>, PgError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let queue = db.prepare_cached(&QUEUE.replace("{listed}", LISTED)).await?;
    db.query(&queue, &[&ids, &respite]).await
}

async fn save(db: &Transaction<'_>, keys: &[(&KeyId, &UniqueKey)]) -> Result<(), PgError> {
    if keys.is_empty() {
        return Ok(());
    }
    let (owners, hashes) = columns(keys.iter().map(|(id, _)| *id));
    let holders: Vec<Option<Uuid>> = keys.iter().map(|(_, key)| key.holder.as_ref().map(|task| task.id)).collect();
    let next: Vec<Option<Uuid>> = keys.iter().map(|(_, key)| key.next.as_ref().map(|task| task.id)).collect();
    let scopes: Vec<&str> = keys.iter().map(|(_, key)| key.scope.as_str()).collect();
    let periods: Vec<Option<f64>> = keys.iter().map(|(_, key)| key.period).collect();
    let save = db.prepare_cached(SAVE).await?;
    db.execute(&save, &[&owners, &hashes, &holders, &next, &scopes, &periods]).await?;
    Ok(())
}

async fn free(db: &Transaction<'_>, keys: &[(&KeyId, &UniqueKey)]) -> Result<(), PgError> {
    if !keys.is_empty() {
        let (owners, hashes) = columns(keys.iter().map(|(id, _)| *id));
        let free = db.prepare_cached(FREE).await?;
        db.execute(&free, &[&owners, &hashes]).await?;
    }
    Ok(())
}

fn columns<'a>(keys: impl Iterator<Item = &'a KeyId>) -> (Vec<i64>, Vec<&'a [u8]>) {
    keys.map(|key| (key.owner, key.hash.as_slice())).unzip()
}

pub(super) fn read_id(row: &Row) -> Result<KeyId, PgError> {
    let hash: &[u8] = row.try_get(1)?;
    Ok(KeyId { owner: row.try_get(0)?, hash: hash.try_into().unwrap_or_default() })
}

fn read_task(row: &Row) -> Result<KeyTask, PgError> {
    let state: &str = row.try_get(3)?;
    Ok(KeyTask { id: row.try_get(0)?, queue: Some(row.try_get(2)?), state: state.parse().ok() })
}
