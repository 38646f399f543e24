//! `POST /v1/tasks/actions/retry`: many tasks at once, by their ids or by what they failed of.
//!
//! Invariant: a search leaves out what was retried already, by whomever and in whatever moment, so a client that was
//! interrupted, or that walks on with `next_cursor`, retries nothing twice.

use std::collections::HashMap;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Asked, Fate, Found, Guarded, Refusal, Retriable, Search, Sought, TaskView},
    task::{OwnerId, State, TaskId},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    bounds,
    retry::{node, not_yet},
    selection::{IdsSchema, Selection, text, times},
    submit::admitted,
};
use crate::{
    accept::{Acceptor, refusal},
    callers::Caller,
    extract::{Fields, IdempotencyKey, JsonBody, task_not_found, typed},
    problem::{Code, Problem},
    state::ApiState,
};

/// The answer: one entry a task, in the order given or the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = RetryAnswer)]
struct Answer {
    /// Whether nothing was done.
    dry_run: bool,
    /// The new tasks are a batch.
    #[schema(required)]
    batch_id: Option<Uuid>,
    /// How many new tasks there are.
    retried: usize,
    /// In the order given, or the newest first.
    tasks: Vec<Entry>,
    /// Where a search goes on; null at its end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What became of one task.
#[derive(Serialize, ToSchema)]
#[schema(as = RetryEntry)]
struct Entry {
    /// The task that had ended.
    retry_of: TaskId,
    /// 202: there is a new one. 200: there would be (`dry_run`).
    status: u16,
    /// With 202: the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<TaskId>,
    /// With any other status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Problem>)]
    problem: Option<Box<RawValue>>,
}

/// What to retry: these, or what a search finds.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = Retries)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
enum RetriesSchema {
    Ids(IdsSchema),
    Matching(MatchingSchema),
}

/// What a search finds and was not retried yet.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryMatching)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct MatchingSchema {
    filter: FilterSchema,
    /// Tell what would be done, and do nothing.
    dry_run: Option<bool>,
    /// Tasks at most.
    #[schema(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Which tasks; what is left out matches all.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryFilter)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct FilterSchema {
    /// `failed` where nothing is said.
    #[schema(pattern = "^(failed|cancelled|expired)$")]
    state: Option<String>,
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    queue: Option<String>,
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    name: Option<String>,
    /// Failed with this code, of at most 64 bytes.
    #[schema(min_length = 1, max_length = 64)]
    error_code: Option<String>,
    /// Accepted then or later.
    created_after: Option<Timestamp>,
    /// Accepted earlier.
    created_before: Option<Timestamp>,
}

/// Retry many tasks
///
/// By their ids, or by what they failed of. The answer is `200` with a status for each: `202` where a new task was
/// accepted, which points back with `retry_of`. A search leaves out what was retried already, so it can be repeated, and
/// walked through with `next_cursor`. Try it with `dry_run` first.
#[utoipa::path(
    post,
    path = "/v1/tasks/actions/retry",
    operation_id = "retry_tasks",
    tag = "tasks",
    params(IdempotencyKey),
    request_body(content = RetriesSchema, example = json!({"filter": {"error_code": "timed_out"}, "dry_run": true})),
    responses((
        status = 200, description = "What became of each.", body = Answer,
        example = json!({
            "dry_run": false,
            "batch_id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b00",
            "retried": 1,
            "tasks": [{
                "retry_of": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b01",
                "status": 202,
                "id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b02"
            }],
            "next_cursor": null
        }),
    )),
    extensions(("x-problems" = json!([Code::QueueForbidden, [IdempotencyKey::PROBLEMS, Acceptor::PROBLEMS, JsonBody::PROBLEMS, [Code::EmptyBody]]]))),
)]
pub(crate) async fn retry_many(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.required()?;
    let owner = caller.owner;
    let (selection, dry_run) = read(owner, body)?;
    selection.check_queues(&caller)?;
    let Found { tasks: ids, next } = selection.find(&state).await?;
    let mut found: HashMap<TaskId, Retriable> =
        state.store.retriable(owner, &ids, &state.ids).await?.into_iter().collect();
    let batch_id = state.ids.make();
    let asked: Vec<Asked> =
        ids.iter().map(|id| asked(&caller, found.remove(id), batch_id)).collect::<Result<_, Problem>>()?;
    let once = selection.is_search();
    let (key, grant) = (key.of(&request, body), caller.restriction());
    let guarded = Guarded { owner, key, tasks: asked, atomic: false, once, grant };
    let answer = if dry_run {
        would(&ids, &guarded.tasks, &selection, next)
    } else {
        let fates = if guarded.key.is_none() && guarded.specs().next().is_none() {
            guarded.all_in(&mut std::iter::empty())
        } else {
            admitted(state.acceptor.accept(&caller, guarded).await?)?.0
        };
        answer(&ids, fates, &selection, next)?
    };
    Ok(HttpResponse::Ok().json(answer))
}

fn asked(caller: &Caller, found: Option<Retriable>, batch_id: Uuid) -> Result<Asked, Problem> {
    Ok(match found {
        Some(Retriable::Ended(mut task)) => {
            if let Err(problem) = caller.covers(task.queue.as_str()) {
                return Ok(Asked::Refused(refusal(&problem)?));
            }
            task.extra.batch_id = Some(batch_id);
            Asked::Task(Arc::new(*task), None)
        }
        Some(Retriable::NotYet(state)) => Asked::Refused(refusal(&not_yet(state))?),
        Some(Retriable::Node(workflow)) => Asked::Refused(refusal(&node(workflow, "can be retried"))?),
        None => Asked::Refused(refusal(&task_not_found())?),
    })
}

/// The last task that is told of, or that was found.
fn last(ids: &[TaskId], told: &[Entry]) -> Option<TaskId> {
    told.last().map(|last| last.retry_of).or_else(|| ids.last().copied())
}

/// What became of each. Of a search only what is new is told: what vanished in this moment, or was retried by somebody
/// else, was not found. A replayed answer tells the tasks of its first time.
fn answer(ids: &[TaskId], fates: Vec<Fate>, of: &Selection, next: Option<Uuid>) -> Result<Answer, Problem> {
    let batch_id = fates.iter().find_map(|fate| if let Fate::Accepted(task) = fate { task.batch_id } else { None });
    let (found, mut tasks, mut retried) = (fates.len(), Vec::with_capacity(fates.len()), 0);
    for (index, fate) in fates.into_iter().enumerate() {
        let asked = ids.get(index).copied();
        let refused = match (fate, of) {
            (Fate::Accepted(task), _) => {
                retried += 1;
                tasks.extend(Entry::accepted(&task, asked));
                continue;
            }
            (_, Selection::Matching(_)) => continue,
            (Fate::Refused(refusal), Selection::Ids(_)) => refusal,
            (Fate::Existing(_) | Fate::Rejected(_) | Fate::Abandoned, Selection::Ids(_)) => refusal(&task_not_found())?,
        };
        tasks.extend(asked.map(|asked| Entry::refused(asked, refused)));
    }
    Ok(Answer { dry_run: false, batch_id, retried, next_cursor: of.next(found, last(ids, &tasks), next), tasks })
}

/// What would become of each.
fn would(ids: &[TaskId], asked: &[Asked], of: &Selection, next: Option<Uuid>) -> Answer {
    let entry = |(id, asked): (&TaskId, &Asked)| match (asked, of) {
        (Asked::Task(..), _) => Some(Entry { retry_of: *id, status: 200, id: None, problem: None }),
        (Asked::Refused(refusal), Selection::Ids(_)) => Some(Entry::refused(*id, refusal.clone())),
        (Asked::Refused(_), Selection::Matching(_)) => None,
    };
    let tasks: Vec<Entry> = ids.iter().zip(asked).filter_map(entry).collect();
    Answer {
        dry_run: true,
        batch_id: None,
        retried: 0,
        next_cursor: of.next(ids.len(), last(ids, &tasks), next),
        tasks,
    }
}

impl Entry {
    fn accepted(task: &TaskView, asked: Option<TaskId>) -> Option<Self> {
        let retry_of = task.retry_of.map(TaskId).or(asked)?;
        Some(Self { retry_of, status: 202, id: Some(task.id), problem: None })
    }

    fn refused(retry_of: TaskId, refusal: Refusal) -> Self {
        Self { retry_of, status: refusal.status, id: None, problem: Some(refusal.problem) }
    }
}

fn read(owner: OwnerId, body: &[u8]) -> Result<(Selection, bool), Problem> {
    let mut fields = Fields::of(body)?;
    let selection = Selection::read(&mut fields, |filter| Some(sought(owner, filter)));
    let dry_run = fields.optional("dry_run", "must be true or false", typed).unwrap_or(false);
    fields.finish(selection.map(|selection| (selection, dry_run)))
}

/// What ended badly, where nothing else is said: what failed.
fn sought(owner: OwnerId, filter: &mut Fields<'_>) -> Sought {
    let state = filter.optional("state", "must be failed, cancelled or expired", |value| {
        typed::<State>(value).filter(|state| matches!(state, State::Failed | State::Cancelled | State::Expired))
    });
    let search = Search::Parts {
        states: vec![state.unwrap_or(State::Failed)],
        queue: filter.optional("queue", bounds::NAME, |value| text(value, bounds::name)),
        name: filter.optional("name", bounds::NAME, |value| text(value, bounds::name)),
        error_code: filter.optional("error_code", bounds::ERROR_CODE, |value| text(value, bounds::error_code)),
    };
    let (from, before) = times(filter).ids();
    Sought { owner, search, from, before, unretried: true, limit: 0 }
}
