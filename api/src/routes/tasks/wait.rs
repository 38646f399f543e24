//! `POST /v1/tasks/wait`: where many tasks stand, at once or when one or all of them have ended.
//!
//! Invariant: what the tasks left is in the answer up to a bound, and what is beyond it says so.

use actix_web::{HttpResponse, http::header, web::Data};
use caraway_shared::{
    store::tasks::TaskStanding,
    task::{State, TaskError, TaskId},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::selection::ids;
use crate::{
    accept::refusal,
    callers::Caller,
    extract::{Fields, JsonBody, QueryWait, task_not_found, typed},
    problem::{Code, Problem},
    shares::NoRoom,
    state::ApiState,
};

/// Results and errors in one answer, bytes; one more may reach beyond it, by a MiB at most.
const LEFT_BYTES_MAX: i64 = 4 << 20;

/// When the answer is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaskWaitUntil)]
enum Until {
    /// As soon as one of them has ended.
    Any,
    /// When all of them have.
    All,
}

/// Which tasks.
#[derive(ToSchema)]
#[schema(as = NewTaskWait)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct NewWait {
    /// All different.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Vec<TaskId>,
    /// `all` where nothing is said.
    until: Option<Until>,
}

/// Where they stand.
#[derive(Serialize, ToSchema)]
#[schema(as = TaskWait)]
struct Waited {
    /// What was waited for is so: one has ended, or all have.
    done: bool,
    /// How many have ended, or are not there.
    ended: usize,
    /// In the order given.
    tasks: Vec<Entry>,
}

/// Where one task stands. What is left out is not known, or not there yet.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitedTask)]
struct Entry {
    id: TaskId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    state: Option<State>,
    /// Of one that has ended: what it returned; null where it returned nothing, failed, or was told to keep no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Value)]
    result: Option<Box<RawValue>>,
    /// Of one that has ended: the error of its last attempt that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = TaskError)]
    error: Option<Box<RawValue>>,
    /// Of one that has succeeded: whether its result was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    store_result: Option<bool>,
    /// It has ended, and what it left did not fit into this answer: `GET /v1/tasks/{id}/result` has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    omitted: bool,
    /// Why nothing is told: there is no such task, or the key is not for its queue. It is waited for no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Problem)]
    problem: Option<Box<RawValue>>,
}

/// Wait for many tasks
///
/// One request instead of a thousand: where each task stands, and of those that have ended what they left, up to 4 MiB together. At
/// once, or with `?wait=N` when one of them has ended (`any`) or all have (`all`), at the latest after N seconds. Changes nothing, so
/// it can be repeated: ask again for those that have not ended.
#[utoipa::path(
    post,
    path = "/v1/tasks/wait",
    operation_id = "wait_for_tasks",
    tag = "tasks",
    params(QueryWait),
    request_body(content = NewWait, example = json!({
        "ids": ["019aad3c-5c66-7e21-b1a9-2d7e0c7d5b01", "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b02"], "until": "any"
    })),
    responses((status = 200, description = "Where they stand.", body = Waited, example = json!({
        "done": true, "ended": 1, "tasks": [
            {"id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b01", "state": "succeeded", "result": 3, "store_result": true},
            {"id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b02", "state": "running"}
        ]
    }))),
    extensions(("x-problems" = json!([JsonBody::PROBLEMS, QueryWait::PROBLEMS, [Code::EmptyBody, Code::Overloaded]]))),
)]
pub(crate) async fn wait(
    state: Data<ApiState>,
    caller: Caller,
    QueryWait(patience): QueryWait,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of(body.required()?)?;
    let ids = fields.required("ids", "must be a list of 1 to 1000 different tasks' ids", ids);
    let until = fields.optional("until", "must be any or all", typed::<Until>).unwrap_or(Until::All);
    let ids = fields.finish(ids)?;
    if !patience.is_zero() {
        let full = |NoRoom| Problem::new(Code::Overloaded, "too many tasks are waited for; wait for fewer, or later");
        let _room = state.shares.waited_tasks.try_take(caller.owner, ids.len()).map_err(full)?;
        let open = async || {
            let seen = state.store.task_standings(caller.owner, &ids, 0).await?;
            let open = seen.iter().filter(|task| !task.state.is_terminal() && caller.covers(&task.queue).is_ok());
            Ok(open.map(|task| task.id).collect())
        };
        let most = if until == Until::Any { ids.len() - 1 } else { 0 };
        state.waiting.until_few_are_open(&ids, most, patience, open).await?;
    }
    let seen = state.store.task_standings(caller.owner, &ids, LEFT_BYTES_MAX).await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(answer(&caller, &ids, until, seen)?))
}

fn answer(caller: &Caller, ids: &[TaskId], until: Until, seen: Vec<TaskStanding>) -> Result<Waited, Problem> {
    let mut seen = seen.into_iter().peekable();
    let (mut tasks, mut ended) = (Vec::with_capacity(ids.len()), 0);
    for id in ids {
        let found = seen.next_if(|task| task.id == *id).ok_or_else(task_not_found);
        let entry = match found.and_then(|task| caller.covers(&task.queue).map(|()| task)) {
            Ok(task) => Entry::of(task),
            Err(problem) => Entry::refused(*id, &problem)?,
        };
        ended += usize::from(entry.state.is_none_or(State::is_terminal));
        tasks.push(entry);
    }
    let done = if until == Until::Any { ended > 0 } else { ended == ids.len() };
    Ok(Waited { done, ended, tasks })
}

impl Entry {
    fn of(task: TaskStanding) -> Self {
        let shown = task.state.is_terminal() && !task.is_cut;
        let null = || RawValue::NULL.to_owned();
        Self {
            id: task.id,
            state: Some(task.state),
            result: shown.then(|| task.result.unwrap_or_else(null)),
            error: task.error.filter(|_| shown),
            store_result: (task.state == State::Succeeded).then_some(task.store_result),
            omitted: task.is_cut,
            problem: None,
        }
    }

    fn refused(id: TaskId, problem: &Problem) -> Result<Self, Problem> {
        let problem = Some(refusal(problem)?.problem);
        Ok(Self { id, state: None, result: None, error: None, store_result: None, omitted: false, problem })
    }
}
