//! Idempotency keys: taken before the tasks are decided, answered after, all in one transaction.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{Admitted, Fate, Guarded, Key};
use crate::access::Grant;

/// Takes what is free and locks what is not, in one step for each key: one that another transaction removes in between is
/// inserted, and one that is answered stays until this transaction has read it. The condition keeps the row as it is.
const TAKE_KEY: &str = "
    INSERT INTO idempotency (owner_id, key, fingerprint, answer)
    SELECT owner_id, key, fingerprint, '' FROM unnest($1::int8[], $2::text[], $3::bytea[]) AS n(owner_id, key, fingerprint)
    ON CONFLICT (owner_id, key) DO UPDATE SET fingerprint = excluded.fingerprint WHERE false
    RETURNING owner_id, key";

const KEEP_ANSWER: &str = "
    UPDATE idempotency i SET answer = a.answer
    FROM unnest($1::int8[], $2::text[], $3::bytea[]) AS a(owner_id, key, answer)
    WHERE i.owner_id = a.owner_id AND i.key = a.key";

const FREE_KEY: &str = "
    DELETE FROM idempotency i USING unnest($1::int8[], $2::text[]) AS k(owner_id, key)
    WHERE i.owner_id = k.owner_id AND i.key = k.key";

const SEE_KEY: &str = "
    SELECT i.owner_id, i.key, i.fingerprint, i.answer FROM idempotency i
    JOIN unnest($1::int8[], $2::text[]) AS k(owner_id, key) USING (owner_id, key)";

/// Takes every key that is free; whether each request is the first with its key, or has none.
pub(super) async fn take_keys(db: &Transaction<'_>, rows: &[&Guarded]) -> Result<Vec<bool>, PgError> {
    let mut keyed: Vec<(i64, &Key)> = rows.iter().filter_map(|row| Some((row.owner.0, row.key.as_ref()?))).collect();
    if keyed.is_empty() {
        return Ok(vec![true; rows.len()]);
    }
    // stable: of requests with one key the first of the batch is the one that is inserted
    keyed.sort_by_key(|(owner, key)| (*owner, key.key.as_str()));
    keyed.dedup_by_key(|(owner, key)| (*owner, key.key.as_str()));
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

/// Stores the answers under their keys; a request of which nothing is in frees its key, as every refused request does.
pub(super) async fn keep_answers(
    db: &Transaction<'_>,
    requests: &[&Guarded],
    fates: &[Vec<Fate>],
) -> Result<(), PgError> {
    let keyed =
        requests.iter().zip(fates).filter_map(|(request, fates)| Some((request.owner.0, request.key.as_ref()?, fates)));
    let (kept, freed): (Vec<_>, Vec<_>) = keyed.partition(|(.., fates)| fates.iter().any(Fate::is_in));
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

const SEE_QUEUES: &str = "SELECT id, queue FROM task_spec WHERE id = ANY($1)";

/// What was answered to the first requests with these keys.
pub(super) async fn replay(db: &Transaction<'_>, requests: &[&Guarded]) -> Result<Vec<Admitted>, PgError> {
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
    let mut answers: Vec<Admitted> = keyed.into_iter().map(answer).collect::<Result<_, PgError>>()?;
    conceal(db, requests, &mut answers).await?;
    Ok(answers)
}

/// What was answered to one key of a user is repeated to another, which may be for fewer queues: it is not told of tasks
/// elsewhere.
async fn conceal(db: &Transaction<'_>, requests: &[&Guarded], answers: &mut [Admitted]) -> Result<(), PgError> {
    let mut limited: Vec<(&Grant, &mut Fate)> = Vec::new();
    for (request, answer) in requests.iter().filter(|request| request.key.is_some()).zip(answers) {
        if let (Some(grant), Admitted::Replayed(fates)) = (&request.grant, answer) {
            let named = fates.iter_mut().filter(|fate| fate.other().is_some());
            limited.extend(named.map(|fate| (grant, fate)));
        }
    }
    if limited.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = limited.iter().filter_map(|(_, fate)| fate.other()).map(|id| id.0).collect();
    let see = db.prepare_cached(SEE_QUEUES).await?;
    let mut queues: HashMap<Uuid, String> = HashMap::new();
    for row in db.query(&see, &[&ids]).await? {
        queues.insert(row.try_get(0)?, row.try_get(1)?);
    }
    for (grant, fate) in limited {
        let queue = fate.other().and_then(|id| queues.get(&id.0));
        if queue.is_none_or(|queue| !grant.covers(queue)) {
            *fate = Fate::Rejected(None);
        }
    }
    Ok(())
}
