//! `POST /v1/tasks/batch`: up to 1,000 tasks in one request and one commit, under one `batch_id`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Asked, Fate, Guarded, Refusal, TaskView},
    task::{TaskId, limits},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    submission::{Submission, schema::SubmissionSchema},
    submit::{admitted, check, duplicate},
};
use crate::{
    accept::{Acceptor, refusal},
    callers::Caller,
    extract::{Fields, IdempotencyKey, JsonBody, Traceparent, traceparent, typed},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// The answer: one entry a task, in the order given.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchAnswer)]
struct Answer {
    batch_id: Uuid,
    /// How many are new.
    accepted: usize,
    /// In the order given.
    tasks: Vec<Entry>,
}

/// What became of one task.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchEntry)]
struct Entry {
    /// What a request with this task alone would have been answered.
    status: u16,
    /// With 202.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Box<TaskView>>,
    /// With 200: the earlier task that stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    existing_task_id: Option<TaskId>,
    /// With any other status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Problem>)]
    problem: Option<Box<RawValue>>,
}

/// Tasks to be run.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct BatchSchema {
    #[schema(min_items = 1, max_items = 1000)]
    tasks: Vec<SubmissionSchema>,
    /// One task that cannot be accepted keeps all of them out.
    atomic: Option<bool>,
}

/// Submit many tasks
///
/// Up to 1,000 tasks in one request and one commit. The answer is `200` with a status for each task, in the order given:
/// a task that is refused does not keep the others out. With `atomic` it does, and the answer is its problem, with its
/// `index`. The user's quota must have room for all that are good.
#[utoipa::path(
    post,
    path = "/v1/tasks/batch",
    operation_id = "submit_tasks",
    tag = "tasks",
    params(IdempotencyKey, Traceparent),
    request_body(
        content = BatchSchema,
        example = json!({"tasks": [{"name": "add", "args": [1, 2]}, {"name": "add", "args": [3, 4]}]})
    ),
    responses((
        status = 200, description = "What became of each.", body = Answer,
        example = json!({
            "batch_id": "019aad3c-5c66-7e21-b1a9-2d7e0c7d5b00",
            "accepted": 1,
            "tasks": [
                {"status": 202, "task": examples::queued()},
                {"status": 422, "problem": Problem::example(Code::InvalidArguments)}
            ]
        }),
    )),
    extensions(("x-problems" = json!([Code::QueueForbidden, [
        IdempotencyKey::PROBLEMS, Acceptor::PROBLEMS,
        JsonBody::PROBLEMS,
        [
            Code::EmptyBody,
            Code::TaskNotFound,
            Code::DuplicateTask,
            Code::InputTooLarge,
            Code::UnknownTask,
            Code::UnknownQueue,
            Code::InvalidArguments
        ]
    ]]))),
)]
pub(crate) async fn batch(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.required()?;
    let (parts, atomic) = read(body)?;
    let key = key.of(&request, body);
    let (owner, batch_id) = (caller.owner, state.ids.make());
    let fates = match checked(&state, &caller, parts, (batch_id, traceparent(request.headers())), atomic).await {
        Err(problem) => admitted(state.acceptor.answered_before(owner, key, problem).await?)?.0,
        Ok(tasks) => {
            let guarded = Guarded { owner, key, tasks, atomic, once: false, grant: caller.restriction() };
            if guarded.key.is_none() && guarded.specs().next().is_none() {
                guarded.all_in(&mut std::iter::empty())
            } else {
                admitted(state.acceptor.accept(&caller, guarded).await?)?.0
            }
        }
    };
    for (index, fate) in fates.iter().enumerate().filter(|_| atomic) {
        if let Fate::Rejected(id) = fate {
            return Err(duplicate(*id).with("index", index));
        }
    }
    Ok(HttpResponse::Ok().json(answer(batch_id, fates)?))
}

/// Every task by itself: to be accepted, or refused. One that is refused ends an atomic batch.
async fn checked(
    state: &ApiState,
    caller: &Caller,
    parts: Vec<&RawValue>,
    (batch_id, traceparent): (Uuid, Option<String>),
    atomic: bool,
) -> Result<Vec<Asked>, Problem> {
    let asked = Instant::now();
    let mut tasks = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let checked = match Submission::read_at(format!("/tasks/{index}"), part) {
            Ok(submission) => check(state, caller, submission, traceparent.clone(), asked).await,
            Err(problem) => Err(problem),
        };
        match checked {
            Ok((mut task, unique)) => {
                task.extra.batch_id = Some(batch_id);
                tasks.push(Asked::Task(Arc::new(task), unique));
            }
            Err(problem) if atomic || problem.status().is_server_error() => return Err(problem.with("index", index)),
            Err(problem) => tasks.push(Asked::Refused(refusal(&problem.brief())?)),
        }
    }
    Ok(tasks)
}

fn read(body: &[u8]) -> Result<(Vec<&RawValue>, bool), Problem> {
    let mut fields = Fields::of(body)?;
    let tasks = fields.required("tasks", "must be a list of 1 to 1000 tasks", |value| {
        serde_json::from_str::<Vec<&RawValue>>(value.get())
            .ok()
            .filter(|tasks| (1..=limits::BATCH_MAX).contains(&tasks.len()))
    });
    let atomic = fields.optional("atomic", "must be true or false", typed).unwrap_or(false);
    fields.finish(tasks.map(|tasks| (tasks, atomic)))
}

fn answer(batch_id: Uuid, fates: Vec<Fate>) -> Result<Answer, Problem> {
    // a replayed answer has the batch of its first time
    let first = fates.iter().find_map(|fate| if let Fate::Accepted(task) = fate { task.batch_id } else { None });
    let accepted = fates.iter().filter(|fate| matches!(fate, Fate::Accepted(_))).count();
    let tasks = fates.into_iter().map(Entry::of).collect::<Result<_, _>>()?;
    Ok(Answer { batch_id: first.unwrap_or(batch_id), accepted, tasks })
}

impl Entry {
    fn of(fate: Fate) -> Result<Self, Problem> {
        let refused = |refusal: Refusal| Self {
            status: refusal.status,
            task: None,
            existing_task_id: None,
            problem: Some(refusal.problem),
        };
        Ok(match fate {
            Fate::Accepted(task) => Self { status: 202, task: Some(task), existing_task_id: None, problem: None },
            Fate::Existing(id) => Self { status: 200, task: None, existing_task_id: Some(id), problem: None },
            Fate::Refused(refusal) => refused(refusal),
            Fate::Rejected(id) => refused(refusal(&duplicate(id))?),
            Fate::Abandoned => {
                refused(refusal(&Problem::new(Code::DuplicateTask, "another task of the batch was kept out"))?)
            }
        })
    }
}
