//! Accept with a guard: an idempotency key, or unique tasks. A transaction of several statements, so it has a writer of
//! its own and the plain accept pays nothing for it.
//!
//! Invariants: the key's row, the answer and the tasks commit together; a guard that was lost is looked at in a later
//! statement, because the one that lost cannot see the winner's row; guards are taken in one order, so that two
//! batches never wait for each other in a circle.

mod keys;
mod repeats;
mod unique;

use std::sync::Arc;

use deadpool_postgres::{GenericClient, Object, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use self::{
    keys::{keep_answers, replay, take_keys},
    repeats::repeatable,
    unique::{fate_beside, placed, take_unique},
};
use super::{
    Owed, TaskView,
    accept::{Offer, insert, owed},
};
use crate::{
    store::Batched,
    task::{OwnerId, TaskId, TaskSpec, Unique},
};

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
    /// Its tasks, 1 to 1,000, in order.
    pub tasks: Vec<Asked>,
    /// One task that must not be accepted keeps the others out too.
    pub atomic: bool,
    /// Tasks that repeat one which was repeated meanwhile are left out.
    pub once: bool,
}

/// One task of a request.
#[derive(Clone, Debug)]
pub enum Asked {
    /// To be accepted, and what makes it unique.
    Task(Arc<TaskSpec>, Option<Unique>),
    /// Refused already; it has its place in the answer, and in the repeated answer.
    Refused(Refusal),
}

/// Why a task was refused, as the client was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The problem document.
    pub problem: Box<RawValue>,
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
    /// Another task of its atomic request was kept out; or the one that it was to repeat is gone, or was repeated.
    Abandoned,
    /// It was no good.
    Refused(Refusal),
}

/// The guarded accept writer's statements.
pub struct AcceptGuarded {
    /// Where to offer what was accepted.
    pub offer: Offer,
}

impl Batched for AcceptGuarded {
    type Row = Guarded;
    type Answer = Admitted;
    const NAME: &'static str = "accept_guarded";
    const PERSISTENT: bool = false;

    fn key(row: &Guarded) -> Uuid {
        row.specs().next().map_or(Uuid::nil(), |(task, _)| task.id.0)
    }

    fn weight(row: &Guarded) -> usize {
        row.tasks.len()
    }

    fn bytes(row: &Guarded) -> usize {
        row.specs().map(|(task, _)| task.input.len()).sum()
    }

    async fn write(&self, db: &mut Object, rows: &[&Guarded], _again: bool) -> Result<Vec<Admitted>, PgError> {
        let mut transaction = db.transaction().await?;
        let first = take_keys(&transaction, rows).await?;
        let fresh: Vec<&Guarded> = rows.iter().zip(&first).filter(|(_, first)| **first).map(|(row, _)| *row).collect();
        let mut owed = Vec::new();
        let fates = admit(&mut transaction, &fresh, &mut owed).await?;
        keep_answers(&transaction, &fresh, &fates).await?;
        let later: Vec<&Guarded> = rows.iter().zip(&first).filter(|(_, first)| !**first).map(|(row, _)| *row).collect();
        let replays = if later.is_empty() { Vec::new() } else { replay(&transaction, &later).await? };
        transaction.commit().await?;
        fail::fail_point!("api.accept.committed", |_| std::process::abort());
        (self.offer)(owed);
        let (mut fates, mut replays) = (fates.into_iter().map(Admitted::Fresh), replays.into_iter());
        let next = |first| if first { fates.next() } else { replays.next() };
        Ok(first.into_iter().map(next).map(|admitted| admitted.unwrap_or(Admitted::InFlight)).collect())
    }
}

impl Guarded {
    /// Its tasks that are to be accepted.
    pub fn specs(&self) -> impl Iterator<Item = (&Arc<TaskSpec>, Option<&Unique>)> {
        self.tasks.iter().filter_map(|asked| match asked {
            Asked::Task(task, unique) => Some((task, unique.as_ref())),
            Asked::Refused(_) => None,
        })
    }

    /// Whether nothing can stand in the way of its tasks.
    pub fn is_plain(&self) -> bool {
        self.key.is_none() && !self.has_unique() && !self.repeats()
    }

    /// A fate for each task, when all that are good are in: these are their documents.
    pub fn all_in(&self, views: &mut impl Iterator<Item = TaskView>) -> Vec<Fate> {
        self.fates(|_, _| None, views)
    }

    fn has_unique(&self) -> bool {
        self.specs().any(|(_, unique)| unique.is_some())
    }

    fn repeats(&self) -> bool {
        self.specs().any(|(task, _)| task.extra.retry_of.is_some())
    }

    fn fates(
        &self,
        decided: impl Fn(&TaskSpec, Option<&Unique>) -> Option<Fate>,
        views: &mut impl Iterator<Item = TaskView>,
    ) -> Vec<Fate> {
        let fate = |asked: &Asked| match asked {
            Asked::Refused(refusal) => Fate::Refused(refusal.clone()),
            Asked::Task(task, unique) => decided(task, unique.as_ref())
                .or_else(|| views.next().map(|view| Fate::Accepted(Box::new(view))))
                .unwrap_or(Fate::Abandoned),
        };
        self.tasks.iter().map(fate).collect()
    }
}

impl Fate {
    /// Whether the task is in, or another stands for it.
    pub const fn is_in(&self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Existing(_))
    }
}

/// Decides the fate of every task of these requests, and inserts those that are in. Requests with unique tasks, and those
/// that repeat others, go one by one, so that none can rest on what another has taken and given back, or repeat the same.
async fn admit(
    db: &mut Transaction<'_>,
    requests: &[&Guarded],
    owed: &mut Vec<Owed>,
) -> Result<Vec<Vec<Fate>>, PgError> {
    let plain: Vec<&TaskSpec> = requests
        .iter()
        .filter(|request| !request.has_unique() && !request.repeats())
        .flat_map(|request| request.specs())
        .map(|(task, _)| task.as_ref())
        .collect();
    let mut views = insert_all(&*db, &plain, owed).await?.into_iter();
    let mut fates = Vec::with_capacity(requests.len());
    for request in requests {
        fates.push(if request.has_unique() {
            admit_unique(db, request, owed).await?
        } else if request.repeats() {
            admit_repeats(db, request, owed).await?
        } else {
            request.all_in(&mut views)
        });
    }
    Ok(fates)
}

/// One request whose tasks repeat others, as far as those are there.
async fn admit_repeats(db: &Transaction<'_>, request: &Guarded, owed: &mut Vec<Owed>) -> Result<Vec<Fate>, PgError> {
    let there = repeatable(db, request).await?;
    let gone = |task: &TaskSpec| task.extra.retry_of.is_some_and(|old| !there.contains(&old));
    let inside: Vec<&TaskSpec> = request.specs().map(|(task, _)| task.as_ref()).filter(|task| !gone(task)).collect();
    let mut views = insert_all(db, &inside, owed).await?.into_iter();
    Ok(request.fates(|task, _| gone(task).then_some(Fate::Abandoned), &mut views))
}

/// One request with unique tasks. An atomic one that is kept out leaves nothing behind, not even a cancelled holder.
async fn admit_unique(db: &mut Transaction<'_>, request: &Guarded, owed: &mut Vec<Owed>) -> Result<Vec<Fate>, PgError> {
    let savepoint = db.transaction().await?;
    let holders = take_unique(&savepoint, request).await?;
    let decided = |task: &TaskSpec, unique: Option<&Unique>| fate_beside(task, unique?, &holders);
    let rejected =
        |(task, unique): (&Arc<TaskSpec>, Option<&Unique>)| matches!(decided(task, unique), Some(Fate::Rejected(_)));
    if request.atomic && request.specs().any(rejected) {
        savepoint.rollback().await?;
        return Ok(request.fates(decided, &mut std::iter::empty()));
    }
    let inside: Vec<TaskSpec> = request
        .specs()
        .filter(|(task, unique)| decided(task, *unique).is_none())
        .map(|(task, unique)| placed(task, unique, &holders))
        .collect();
    let views = insert_all(&savepoint, &inside.iter().collect::<Vec<_>>(), owed).await?;
    savepoint.commit().await?;
    Ok(request.fates(decided, &mut views.into_iter()))
}

async fn insert_all(
    db: &impl GenericClient,
    tasks: &[&TaskSpec],
    debts: &mut Vec<Owed>,
) -> Result<Vec<TaskView>, PgError> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let accepted = insert(db, tasks).await?;
    debts.extend(owed(tasks, &accepted));
    Ok(tasks.iter().zip(accepted).map(|(task, accepted)| TaskView::accepted(task, accepted)).collect())
}
