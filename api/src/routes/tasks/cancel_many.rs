//! `POST /v1/tasks/actions/cancel`: many tasks at once, by their ids or by a search.

use std::collections::HashMap;

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{
    store::{
        AuditAction, AuditOrder,
        tasks::{Cancelled, Found, Refusal, Search, Sought, Standing},
    },
    task::{OwnerId, State, TaskId},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    bounds,
    cancel::already_finished,
    selection::{IdsSchema, Selection, text, times},
};
use crate::{
    accept::refusal,
    callers::Caller,
    extract::{Fields, JsonBody, parse_id, task_not_found, typed},
    problem::{Code, Problem},
    state::ApiState,
};

/// What can still be cancelled.
const LIVE: [State; 4] = [State::Scheduled, State::Waiting, State::Queued, State::Running];

/// The answer: one entry a task, in the order given or the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = CancelAnswer)]
struct Answer {
    /// Whether nothing was done.
    dry_run: bool,
    /// How many had not started, and are cancelled.
    cancelled: usize,
    /// How many run, and were asked to stop.
    requested: usize,
    /// In the order given, or the newest first.
    tasks: Vec<Entry>,
    /// Where a search goes on; null at its end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What became of one task.
#[derive(Serialize, ToSchema)]
#[schema(as = CancelEntry)]
struct Entry {
    id: TaskId,
    /// 200: it is cancelled. 202: it runs, and was asked to stop. With `dry_run`: it would be.
    status: u16,
    /// With any other status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Problem>)]
    problem: Option<Box<RawValue>>,
}

/// What to cancel: these, or what a search finds.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = Cancels)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
enum CancelsSchema {
    Ids(IdsSchema),
    Matching(MatchingSchema),
}

/// What a search finds and has not ended.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelMatching)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct MatchingSchema {
    filter: FilterSchema,
    /// Tell what would be done, and do nothing.
    dry_run: Option<bool>,
    /// Tasks to look at, at most.
    #[schema(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<usize>,
    /// The `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Which tasks; what is left out matches all that have not ended.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelFilter)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct FilterSchema {
    /// One or several of `scheduled`, `waiting`, `queued`, `running`, with commas between; all of them where nothing is said.
    #[schema(pattern = "^(scheduled|waiting|queued|running)(,(scheduled|waiting|queued|running))*$")]
    state: Option<String>,
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    queue: Option<String>,
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$")]
    name: Option<String>,
    /// With this tag, of at most 64 bytes; without state, queue and name.
    #[schema(min_length = 1, max_length = 64)]
    tag: Option<String>,
    /// Of this batch; without state, queue and name.
    batch_id: Option<Uuid>,
    /// Accepted then or later.
    created_after: Option<Timestamp>,
    /// Accepted earlier.
    created_before: Option<Timestamp>,
}

/// Cancel many tasks
///
/// By their ids, or by a search: up to 1,000 in one request. The answer is `200` with a status for each: `200` where it had not
/// started and is cancelled, `202` where it runs and was asked to stop. Of what a search finds only that is told; `next_cursor`
/// leads on until it is null. Safe to repeat. Try it with `dry_run` first.
#[utoipa::path(
    post,
    path = "/v1/tasks/actions/cancel",
    operation_id = "cancel_tasks",
    tag = "tasks",
    request_body(content = CancelsSchema, example = json!({"filter": {"state": "queued", "name": "fetch_data"}, "dry_run": true})),
    responses((
        status = 200, description = "What became of each.", body = Answer,
        example = json!({
            "dry_run": false,
            "cancelled": 1,
            "requested": 1,
            "tasks": [
                {"id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b01", "status": 200},
                {"id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b00", "status": 202}
            ],
            "next_cursor": null
        }),
    )),
    extensions(("x-problems" = json!([Code::QueueForbidden, [JsonBody::PROBLEMS, [Code::EmptyBody, Code::Contended, Code::Overloaded]]]))),
)]
pub(crate) async fn cancel_many(
    state: Data<ApiState>,
    caller: Caller,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let (selection, dry_run) = read(caller.owner, body.required()?)?;
    selection.check_queues(&caller)?;
    let Found { tasks: ids, next } = selection.find(&state).await?;
    let standing = state.store.standing(caller.owner, &ids).await?;
    let how = if selection.is_search() { "search" } else { "ids" };
    let order = caller.order(caller.owner, AuditAction::CancelTasks, how);
    let wanted: Vec<TaskId> = ids.iter().copied().filter(|id| may_cancel(&caller, standing.get(id)).is_ok()).collect();
    let order = AuditOrder { detail: Some(json!({ "tasks": wanted.len() })), ..order };
    let fates = if dry_run { would(&wanted, &standing) } else { state.store.cancel_tasks(&wanted, &order).await? };
    let mut answer =
        Answer { dry_run, cancelled: 0, requested: 0, tasks: Vec::with_capacity(ids.len()), next_cursor: None };
    for id in &ids {
        let refused = may_cancel(&caller, standing.get(id)).err();
        answer.tell(*id, fates.get(id).copied(), refused, selection.is_search())?;
    }
    answer.next_cursor = selection.next(ids.len(), ids.last().copied(), next);
    Ok(HttpResponse::Ok().json(answer))
}

/// Whether there is such a task, and the key is good for its queue.
fn may_cancel(caller: &Caller, standing: Option<&Standing>) -> Result<(), Problem> {
    caller.covers(&standing.ok_or_else(task_not_found)?.queue)
}

/// What would become of each, as it stands.
fn would(ids: &[TaskId], standing: &HashMap<TaskId, Standing>) -> HashMap<TaskId, Cancelled> {
    let fate = |state| match state {
        State::Running => Cancelled::Requested,
        State::Scheduled | State::Waiting | State::Queued => Cancelled::Now,
        State::Succeeded | State::Failed | State::Cancelled | State::Expired => Cancelled::Over(state),
    };
    ids.iter().filter_map(|id| Some((*id, fate(standing.get(id)?.state)))).collect()
}

impl Answer {
    /// Of a search only what is done is told: the rest had ended, or vanished in this moment.
    fn tell(
        &mut self,
        id: TaskId,
        fate: Option<Cancelled>,
        refused: Option<Problem>,
        is_search: bool,
    ) -> Result<(), Problem> {
        let problem = match (fate, refused) {
            (_, Some(problem)) => problem,
            (Some(Cancelled::Now), None) => {
                self.cancelled += 1;
                self.tasks.push(Entry { id, status: 200, problem: None });
                return Ok(());
            }
            (Some(Cancelled::Requested), None) => {
                self.requested += 1;
                self.tasks.push(Entry { id, status: 202, problem: None });
                return Ok(());
            }
            // as for one task: what is cancelled already is what was asked for
            (Some(Cancelled::Over(State::Cancelled)), None) if !is_search => {
                self.tasks.push(Entry { id, status: 200, problem: None });
                return Ok(());
            }
            (Some(Cancelled::Over(ended)), None) => already_finished(ended),
            (Some(Cancelled::Missing) | None, None) => task_not_found(),
        };
        if !is_search {
            let Refusal { status, problem } = refusal(&problem)?;
            self.tasks.push(Entry { id, status, problem: Some(problem) });
        }
        Ok(())
    }
}

fn read(owner: OwnerId, body: &[u8]) -> Result<(Selection, bool), Problem> {
    let mut fields = Fields::of(body)?;
    let selection = Selection::read(&mut fields, |filter| sought(owner, filter));
    let dry_run = fields.optional("dry_run", "must be true or false", typed).unwrap_or(false);
    fields.finish(selection.map(|selection| (selection, dry_run)))
}

fn sought(owner: OwnerId, filter: &mut Fields<'_>) -> Option<Sought> {
    let states = filter.optional("state", &bounds::states_must(&LIVE), |value| text(value, live_states));
    let queue = filter.optional("queue", bounds::NAME, |value| text(value, bounds::name));
    let name = filter.optional("name", bounds::NAME, |value| text(value, bounds::name));
    let tag = filter.optional("tag", "must be 1 to 64 bytes", |value| text(value, bounds::tag));
    let batch = filter.optional("batch_id", "must be a batch's id", |value| text(value, parse_id));
    let (from, before) = times(filter).ids();
    let has_parts = states.is_some() || queue.is_some() || name.is_some();
    let search = match (tag, batch) {
        (Some(tag), None) if !has_parts => Search::Tag(tag),
        (None, Some(batch)) if !has_parts => Search::Batch(batch),
        (None, None) => {
            Search::Parts { states: states.unwrap_or_else(|| LIVE.to_vec()), queue, name, error_code: None }
        }
        _ => {
            filter.refuse(
                "tag",
                "goes alone, and so does batch_id; state, queue and name go together in any combination",
            );
            return None;
        }
    };
    Some(Sought { owner, search, from, before, unretried: false, limit: 0 })
}

fn live_states(list: &str) -> Option<Vec<State>> {
    list.split(',').map(|word| word.parse().ok().filter(|state| LIVE.contains(state))).collect()
}
