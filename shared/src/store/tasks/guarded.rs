//! Accept with a guard: an idempotency key, unique tasks, or tasks that repeat others. A transaction of several statements, so
//! it has a writer of its own and the plain accept pays nothing for it.
//!
//! Invariants: the key's row, the answer and the tasks commit together. The guards of a whole batch are taken before anything
//! is decided, in one order: idempotency keys, unique keys, tasks; so two batches never wait for each other in a circle. What
//! is decided on is read in a later statement than the one that locked it. A guard that another transaction keeps is waited
//! for only a moment: then the batch is halved (`batch.rs`), and in the end only the requests that want it wait.

mod decide;
mod keys;

use std::{collections::HashMap, sync::Arc};

use deadpool_postgres::{GenericClient, Object, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use self::{
    decide::{Guards, Place},
    keys::{keep_answers, replay, take_keys},
};
use super::{
    Owed, TaskView,
    accept::{Offer, insert, owed},
};
use crate::{
    access::Grant,
    store::Batched,
    task::{OwnerId, TaskId, TaskSpec, Unique},
};

/// How long a batch waits for one guard. Batches hold theirs for some milliseconds; whatever holds one for longer should
/// delay only those that want it. A batch of 256 requests is halved nine times at most, so its others wait for less than five
/// seconds.
const GUARD_WAIT: &str = "SET LOCAL lock_timeout = '500ms'";
/// What a task that waits behind a unique one tells people.
const WAITS_FOR: &str = "unique";

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
    /// What its submitter may touch of unique tasks, where that is not everything.
    pub grant: Option<Grant>,
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
    /// This one keeps it out; without an id where its submitter may not know of that one.
    Rejected(Option<TaskId>),
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
        let transaction = db.transaction().await?;
        let ((), first) = tokio::try_join!(transaction.batch_execute(GUARD_WAIT), take_keys(&transaction, rows))?;
        let fresh: Vec<&Guarded> = rows.iter().zip(&first).filter(|(_, first)| **first).map(|(row, _)| *row).collect();
        let mut owed = Vec::new();
        let fates = admit(&transaction, &fresh, &mut owed).await?;
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
        self.fates(Vec::new(), views)
    }

    fn has_unique(&self) -> bool {
        self.specs().any(|(_, unique)| unique.is_some())
    }

    fn repeats(&self) -> bool {
        self.specs().any(|(task, _)| task.extra.retry_of.is_some())
    }

    fn fates(&self, places: Vec<Place>, views: &mut impl Iterator<Item = TaskView>) -> Vec<Fate> {
        let mut places = places.into_iter();
        let fate = |asked: &Asked| match asked {
            Asked::Refused(refusal) => Fate::Refused(refusal.clone()),
            Asked::Task(..) => match places.next() {
                Some(Place::Out(fate)) => fate,
                _ => views.next().map_or(Fate::Abandoned, |view| Fate::Accepted(Box::new(view))),
            },
        };
        self.tasks.iter().map(fate).collect()
    }
}

impl Fate {
    /// The task that stands for it, or keeps it out.
    const fn other(&self) -> Option<TaskId> {
        match self {
            Self::Existing(id) | Self::Rejected(Some(id)) => Some(*id),
            Self::Accepted(_) | Self::Rejected(None) | Self::Abandoned | Self::Refused(_) => None,
        }
    }

    /// Whether the task is in, or another stands for it.
    pub const fn is_in(&self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Existing(_))
    }
}

/// Decides the fate of every task of these requests, and inserts those that are in. All their guards are taken first.
async fn admit(db: &Transaction<'_>, requests: &[&Guarded], owed: &mut Vec<Owed>) -> Result<Vec<Vec<Fate>>, PgError> {
    let mut guards = Guards::take(db, requests).await?;
    let places: Vec<Vec<Place>> = requests.iter().map(|request| guards.decide(request)).collect();
    let waiting = waiting(requests, &places);
    let asked = requests.iter().zip(&places).flat_map(|(request, places)| request.specs().zip(places));
    let inside: Vec<&TaskSpec> = asked
        .filter_map(|((task, _), place)| match place {
            Place::In => Some(task.as_ref()),
            Place::Waits => waiting.get(&task.id),
            Place::Out(_) => None,
        })
        .collect();
    let mut views = insert_all(db, &inside, owed).await?.into_iter();
    guards.write(db).await?;
    Ok(requests.iter().zip(places).map(|(request, places)| request.fates(places, &mut views)).collect())
}

/// Those tasks that wait for others, as they are inserted.
fn waiting(requests: &[&Guarded], places: &[Vec<Place>]) -> HashMap<TaskId, TaskSpec> {
    let asked = requests.iter().zip(places).flat_map(|(request, places)| request.specs().zip(places));
    let waits = asked.filter(|(_, place)| matches!(place, Place::Waits));
    let waiting = waits.map(|((task, _), _)| {
        let mut task = TaskSpec::clone(task);
        task.extra.waits_for = Some(WAITS_FOR);
        (task.id, task)
    });
    waiting.collect()
}

/// Inserts these tasks, and adds what they owe; their documents, in order.
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
