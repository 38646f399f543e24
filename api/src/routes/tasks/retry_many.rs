//! `POST /v1/tasks/actions/retry`: many tasks at once, by their ids or by what they failed of.
//!
//! Invariant: a search leaves out what was retried already, so a client that was interrupted, or that walks on with
//! `next_cursor`, retries nothing twice.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Asked, Fate, Guarded, Refusal, Retriable, Search, Sought},
    task::{OwnerId, State, TaskId, limits},
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    batch::refusal,
    bounds::{self, Times},
    retry::not_yet,
    submit::admitted,
};
use crate::{
    extract::{Fields, IdempotencyKey, JsonBody, Owner, task_not_found, typed},
    problem::Problem,
    state::ApiState,
};

/// What a client asks for.
struct Wanted {
    of: Of,
    dry_run: bool,
}

enum Of {
    Ids(Vec<TaskId>),
    Matching(Sought),
}

/// The answer: one entry a task, in the order given or the newest first.
#[derive(Serialize)]
struct Answer {
    dry_run: bool,
    batch_id: Option<Uuid>,
    retried: usize,
    tasks: Vec<Entry>,
    next_cursor: Option<TaskId>,
}

/// What became of one task.
#[derive(Serialize)]
struct Entry {
    retry_of: TaskId,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<RawValue>>,
}

/// 200 with a status for each task: 202 where a new one was accepted. With `dry_run` nothing is, and the status is 200.
pub(crate) async fn retry_many(
    request: HttpRequest,
    state: Data<ApiState>,
    Owner(owner): Owner,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.required()?;
    let wanted = read(owner, body)?;
    let ids = find(&state, &wanted.of).await?;
    let mut found: HashMap<TaskId, Retriable> = state.store.retriable(owner, &ids).await?.into_iter().collect();
    let batch_id = Uuid::now_v7();
    let asked: Vec<Asked> = ids.iter().map(|id| asked(found.remove(id), batch_id)).collect::<Result<_, Problem>>()?;
    let guarded = Guarded { owner, key: key.of(&request, body), tasks: asked, atomic: false };
    let answer = if wanted.dry_run {
        let tasks: Vec<Entry> = ids.iter().zip(&guarded.tasks).map(|(id, asked)| Entry::would(*id, asked)).collect();
        Answer { dry_run: true, batch_id: None, retried: 0, next_cursor: wanted.of.next(&tasks), tasks }
    } else {
        let fates = if guarded.key.is_none() && guarded.specs().next().is_none() {
            guarded.all_in(&mut std::iter::empty())
        } else {
            admitted(state.acceptor.accept(guarded).await?)?.0
        };
        answer(&ids, fates, &wanted.of)
    };
    Ok(HttpResponse::Ok().json(answer))
}

async fn find(state: &ApiState, of: &Of) -> Result<Vec<TaskId>, Problem> {
    match of {
        Of::Ids(ids) => Ok(ids.clone()),
        Of::Matching(sought) => Ok(state.store.list_tasks(sought).await?.into_iter().map(|task| task.id).collect()),
    }
}

impl Of {
    /// Where to go on, if this was a full page.
    fn next(&self, tasks: &[Entry]) -> Option<TaskId> {
        let Self::Matching(sought) = self else { return None };
        let full = i64::try_from(tasks.len()).is_ok_and(|found| found >= sought.limit);
        tasks.last().filter(|_| full).map(|last| last.retry_of)
    }
}

fn asked(found: Option<Retriable>, batch_id: Uuid) -> Result<Asked, Problem> {
    Ok(match found {
        Some(Retriable::Ended(mut task)) => {
            task.extra.batch_id = Some(batch_id);
            Asked::Task(task, None)
        }
        Some(Retriable::NotYet(state)) => Asked::Refused(refusal(&not_yet(state))?),
        None => Asked::Refused(refusal(&task_not_found())?),
    })
}

/// A replayed answer tells the tasks of its first time.
fn answer(ids: &[TaskId], fates: Vec<Fate>, wanted: &Of) -> Answer {
    let batch_id = fates.iter().find_map(|fate| if let Fate::Accepted(task) = fate { task.batch_id } else { None });
    let retried = fates.iter().filter(|fate| matches!(fate, Fate::Accepted(_))).count();
    let of = |index: usize| ids.get(index).copied();
    let tasks: Vec<Entry> =
        fates.into_iter().enumerate().filter_map(|(index, fate)| Entry::of(of(index), fate)).collect();
    Answer { dry_run: false, batch_id, retried, next_cursor: wanted.next(&tasks), tasks }
}

impl Entry {
    fn of(asked: Option<TaskId>, fate: Fate) -> Option<Self> {
        match fate {
            Fate::Accepted(task) => {
                let retry_of = task.retry_of.map(TaskId).or(asked)?;
                Some(Self { retry_of, status: 202, id: Some(task.id), problem: None })
            }
            Fate::Refused(refusal) => Some(Self::refused(asked?, refusal)),
            Fate::Existing(_) | Fate::Rejected(_) | Fate::Abandoned => None, // nothing here is unique or atomic
        }
    }

    fn would(id: TaskId, asked: &Asked) -> Self {
        match asked {
            Asked::Task(..) => Self { retry_of: id, status: 200, id: None, problem: None },
            Asked::Refused(refusal) => Self::refused(id, refusal.clone()),
        }
    }

    fn refused(retry_of: TaskId, refusal: Refusal) -> Self {
        Self { retry_of, status: refusal.status, id: None, problem: Some(refusal.problem) }
    }
}

fn read(owner: OwnerId, body: &[u8]) -> Result<Wanted, Problem> {
    let mut fields = Fields::of(body)?;
    let ids = fields.optional("ids", "must be a list of 1 to 1000 different tasks' ids", ids);
    let sought = fields.object("filter", |filter| sought(owner, filter));
    let dry_run = fields.optional("dry_run", "must be true or false", typed).unwrap_or(false);
    let limit = fields.optional("limit", "must be a whole number from 1 to 1000", |value| {
        typed::<usize>(value).filter(|limit| (1..=limits::BATCH_MAX).contains(limit))
    });
    let cursor = fields.optional("cursor", "must be the next_cursor of an earlier answer", typed::<Uuid>);
    let of = match (ids, sought) {
        (Some(_), None) if limit.is_some() || cursor.is_some() => {
            fields.refuse("ids", "go without limit and cursor");
            None
        }
        (Some(ids), None) => Some(Of::Ids(ids)),
        (None, Some(mut sought)) => {
            sought.limit = i64::try_from(limit.unwrap_or(limits::BATCH_MAX)).unwrap_or(1);
            sought.before = cursor.map_or(sought.before, |cursor| cursor.min(sought.before));
            Some(Of::Matching(sought))
        }
        _ => {
            fields.refuse("filter", "is needed, or ids, and only one of them");
            None
        }
    };
    fields.finish(of.map(|of| Wanted { of, dry_run }))
}

fn ids(value: &RawValue) -> Option<Vec<TaskId>> {
    let ids = typed::<Vec<Uuid>>(value).filter(|ids| (1..=limits::BATCH_MAX).contains(&ids.len()))?;
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == ids.len()).then(|| ids.into_iter().map(TaskId).collect())
}

/// What ended badly, where nothing else is said: what failed.
fn sought(owner: OwnerId, filter: &mut Fields<'_>) -> Sought {
    let state = filter.optional("state", "must be failed, cancelled or expired", |value| {
        typed::<State>(value).filter(|state| matches!(state, State::Failed | State::Cancelled | State::Expired))
    });
    let text = |value: &RawValue| typed::<String>(value).filter(|text| (1..=128).contains(&text.len()));
    let search = Search::Parts {
        states: vec![state.unwrap_or(State::Failed)],
        queue: filter.optional("queue", "must be a queue's name", text),
        name: filter.optional("name", "must be a task's name", text),
        error_code: filter.optional("error_code", "must be an error's code", text),
    };
    let time = |value: &RawValue| typed::<String>(value).and_then(|text| bounds::time(&text));
    let times = Times {
        after: filter.optional("created_after", bounds::TIME, time),
        before: filter.optional("created_before", bounds::TIME, time),
    };
    let (from, before) = times.ids();
    Sought { owner, search, from, before, unretried: true, limit: 0 }
}
