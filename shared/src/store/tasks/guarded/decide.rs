//! What becomes of the tasks of a batch beside the keys that they want and the tasks that they repeat. All guards are taken
//! at once; then the requests are decided one after the other, in memory, as if each had come alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use deadpool_postgres::Transaction;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::{Fate, Guarded};
use crate::{
    store::tasks::unique::{Candidate, KeyAnswer, KeyEffects, KeyId, KeyRows, NewKey, UniqueKey},
    task::{TaskSpec, Unique},
};

/// In a later statement than the locks, which sees what others committed under them.
const SEE_REPEATED: &str = "
    SELECT DISTINCT t.retry_of FROM unnest($1::uuid[]) AS w(id) JOIN task_spec t ON t.retry_of = w.id";

/// Others may publish at once what is queued here, for nobody here does.
const RESPITE: f64 = 0.0;

/// What becomes of one task.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// It is inserted.
    In,
    /// It is inserted, and waits for another's end.
    Waits,
    /// It is not.
    Out(Fate),
}

/// Everything that stands guard over a batch, locked until the commit.
#[derive(Debug)]
pub(super) struct Guards {
    rows: KeyRows,
    effects: KeyEffects,
    /// Old tasks that were repeated, as far as a request asks.
    repeated: HashSet<Uuid>,
}

impl Guards {
    /// Takes the guards of all these requests. Tasks that are repeated are among them: so they cannot vanish meanwhile, for
    /// their arguments are copied from them, and what one search repeats no other does in the same moment.
    pub(super) async fn take(db: &Transaction<'_>, requests: &[&Guarded]) -> Result<Self, PgError> {
        let mut wanted = BTreeMap::new();
        for (task, unique) in requests.iter().flat_map(|request| request.specs()) {
            if let Some(unique) = unique {
                let new = NewKey { task: task.id.0, scope: unique.scope, period: seconds(unique) };
                wanted.entry(key_id(task, unique)).or_insert(new);
            }
        }
        let rows = KeyRows::take(db, &wanted, &old_tasks(requests.iter().copied())).await?;
        let once = old_tasks(requests.iter().copied().filter(|request| request.once));
        let mut repeated = HashSet::new();
        if !once.is_empty() {
            let see = db.prepare_cached(SEE_REPEATED).await?;
            repeated =
                db.query(&see, &[&once]).await?.iter().map(|row| row.try_get(0)).collect::<Result<_, PgError>>()?;
        }
        Ok(Self { rows, effects: KeyEffects::default(), repeated })
    }

    /// A place for each task of a request. An atomic one that is kept out leaves nothing behind, not even a cancelled holder.
    pub(super) fn decide(&mut self, request: &Guarded) -> Vec<Place> {
        let before = request.atomic.then(|| (self.keys_of(request), self.effects.clone()));
        let mut places: Vec<Place> = request.specs().map(|(task, unique)| self.place(request, task, unique)).collect();
        let is_rejected = |place: &Place| matches!(place, Place::Out(Fate::Rejected(_)));
        if let Some((keys, effects)) = before.filter(|_| places.iter().any(is_rejected)) {
            self.rows.keys.extend(keys);
            self.effects = effects;
            for place in places.iter_mut().filter(|place| !matches!(place, Place::Out(_))) {
                *place = Place::Out(Fate::Abandoned);
            }
        }
        places
    }

    /// Writes what was decided on keys, and on tasks that lost them; the new tasks are there already.
    pub(super) async fn write(&self, db: &Transaction<'_>) -> Result<(), PgError> {
        self.rows.write(db, &self.effects, RESPITE).await?;
        Ok(())
    }

    fn place(&mut self, request: &Guarded, task: &TaskSpec, unique: Option<&Unique>) -> Place {
        if let Some(old) = task.extra.retry_of {
            let is_there = self.rows.locked.get(&old) == Some(&request.owner.0);
            if !is_there || request.once && self.repeated.contains(&old) {
                return Place::Out(Fate::Abandoned);
            }
            self.repeated.insert(old);
        }
        let Some(unique) = unique else { return Place::In };
        let key = self.rows.keys.entry(key_id(task, unique)).or_insert_with(UniqueKey::free);
        let candidate = Candidate {
            id: task.id,
            queue: task.queue.as_str(),
            scope: unique.scope,
            period: seconds(unique),
            on_conflict: unique.on_conflict,
            grant: request.grant.as_ref(),
        };
        match key.ask(&candidate, &mut self.effects) {
            KeyAnswer::Holds => Place::In,
            KeyAnswer::Waits => Place::Waits,
            KeyAnswer::Existing(holder) => Place::Out(Fate::Existing(holder)),
            KeyAnswer::Rejected(holder) => Place::Out(Fate::Rejected(holder)),
        }
    }

    fn keys_of(&self, request: &Guarded) -> HashMap<KeyId, UniqueKey> {
        let ids = request.specs().filter_map(|(task, unique)| Some(key_id(task, unique?)));
        ids.filter_map(|id| Some((id, self.rows.keys.get(&id)?.clone()))).collect()
    }
}

fn old_tasks<'a>(requests: impl Iterator<Item = &'a Guarded>) -> Vec<Uuid> {
    requests.flat_map(Guarded::specs).filter_map(|(task, _)| task.extra.retry_of).collect()
}

fn key_id(task: &TaskSpec, unique: &Unique) -> KeyId {
    KeyId { owner: task.owner.0, hash: unique.hash }
}

fn seconds(unique: &Unique) -> Option<f64> {
    unique.period.map(|period| period.as_secs_f64())
}
