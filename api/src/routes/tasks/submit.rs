//! (1) REQUEST: `POST /v1/tasks`, from a body to a validated spec; then to (2), `accept.rs`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::header, web::Data};
use caraway_shared::{
    store::tasks::{Admitted, Asked, Fate, Guarded, TaskView},
    task::{OwnerId, TaskId, TaskSpec, Unique},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    arguments,
    submission::{Submission, schema::SubmissionSchema},
};
use crate::{
    accept::Acceptor,
    callers::Caller,
    extract::{IdempotencyKey, JsonBody, PreferWait, Traceparent, task_not_found, traceparent},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Submit a task
///
/// The answer is `202` with the task, once it can no longer be lost. With `Prefer: wait=N` it is `200` with the finished
/// task, if it ends in time. Of a unique task that exists already the answer is `200` with that one and
/// `"deduplicated": true`.
#[utoipa::path(
    post,
    path = "/v1/tasks",
    operation_id = "submit_task",
    tag = "tasks",
    params(IdempotencyKey, PreferWait, Traceparent),
    request_body(content = SubmissionSchema, example = json!({"name": "add", "args": [1, 2]})),
    responses(
        (status = 202, description = "Accepted; it can no longer be lost.", body = TaskView,
            headers(
                ("Location" = String, description = "The task's address."),
                ("Idempotency-Replayed" = String, description = "`true` where the answer was given before."),
                ("Preference-Applied" = String, description = "The wait that was applied."),
            ),
            links(
                ("task" = (operation_id = "get_task", parameters(("id" = "$response.body#/id")))),
                ("result" = (operation_id = "get_task_result", parameters(("id" = "$response.body#/id")))),
                ("attempts" = (operation_id = "list_task_attempts", parameters(("id" = "$response.body#/id")))),
                ("cancel" = (operation_id = "cancel_task", parameters(("id" = "$response.body#/id")))),
            ),
            example = json!(examples::queued()),
        ),
        (status = 200, description = "It has ended already, or an earlier task stands for it.", body = Deduplicated,
            headers(
                ("Location" = String, description = "The task's address."),
                ("Idempotency-Replayed" = String, description = "`true` where the answer was given before."),
                ("Preference-Applied" = String, description = "The wait that was applied."),
            ),
            links(
                ("task" = (operation_id = "get_task", parameters(("id" = "$response.body#/id")))),
                ("result" = (operation_id = "get_task_result", parameters(("id" = "$response.body#/id")))),
                ("attempts" = (operation_id = "list_task_attempts", parameters(("id" = "$response.body#/id")))),
                ("cancel" = (operation_id = "cancel_task", parameters(("id" = "$response.body#/id")))),
            ),
            example = json!(examples::succeeded()),
        ),
    ),
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
pub(crate) async fn submit(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    wait: PreferWait,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.required()?;
    let submission = Submission::read(body)?;
    let key = key.of(&request, body);
    let owner = caller.owner;
    let (fates, replayed) =
        match check(&state, &caller, submission, traceparent(request.headers()), Instant::now()).await {
            Ok((task, unique)) => {
                let tasks = vec![Asked::Task(Arc::new(task), unique)];
                let request = Guarded { owner, key, tasks, atomic: true, once: false, grant: caller.restriction() };
                admitted(state.acceptor.accept(&caller, request).await?)?
            }
            Err(problem) => admitted(state.acceptor.answered_before(owner, key, problem).await?)?,
        };
    match fates.into_iter().next() {
        Some(Fate::Accepted(task)) => answer(&state, owner, *task, replayed, wait).await,
        Some(Fate::Existing(id)) => existing(&state, &caller, id, replayed, wait).await,
        Some(Fate::Rejected(id)) => Err(duplicate(id)),
        Some(Fate::Abandoned | Fate::Refused(_)) | None => {
            Err(Problem::internal("the accept writer answered for no task"))
        }
    }
}

/// 202, or with `Prefer: wait=N` (RFC 7240) 200 if the task ends in time.
async fn answer(
    state: &ApiState,
    owner: OwnerId,
    task: TaskView,
    replayed: bool,
    wait: PreferWait,
) -> Result<HttpResponse, Problem> {
    let (mut response, task) = match ended(state, owner, task.id, wait).await {
        Some(ended) => (with_replay(HttpResponse::Ok(), replayed, &ended), ended),
        None => (with_replay(HttpResponse::Accepted(), replayed, &task), task),
    };
    applied(&mut response, wait);
    Ok(response.json(task))
}

/// The task, if it ends while its client waits. It is accepted, whatever becomes of the waiting.
async fn ended(state: &ApiState, owner: OwnerId, id: TaskId, wait: PreferWait) -> Option<TaskView> {
    let ended = state.waiting.until_ended(owner, id, wait.0?).await.unwrap_or_else(|problem| {
        tracing::warn!(task.id = %id, %problem, "a client cannot wait for its task now");
        None
    });
    ended.map(|document| document.view.clone())
}

fn applied(response: &mut HttpResponseBuilder, wait: PreferWait) {
    if let Some(wait) = wait.0 {
        response.insert_header(("Preference-Applied", format!("wait={}", wait.as_secs())));
    }
}

/// Whether what the submission names exists, as of `asked` or later, is the caller's to name, and its arguments fit; then
/// the task to store.
pub(crate) async fn check(
    state: &ApiState,
    caller: &Caller,
    submission: Submission<'_>,
    traceparent: Option<String>,
    asked: Instant,
) -> Result<(TaskSpec, Option<Unique>), Problem> {
    let known = state.known.task_type(&submission.name, asked).await;
    let known = known.map_err(|problem| problem.at(submission.at("name")))?;
    if let Some(queue) = &submission.queue {
        state.known.queue(queue, asked).await.map_err(|problem| problem.at(submission.at("queue")))?;
    }
    caller.covers(submission.queue.as_ref().unwrap_or(&known.queue).as_str())?;
    arguments::check(&submission, &known.parameters)?;
    if let Some(parent) = submission.parent()
        && !state.store.task_exists(caller.owner, parent).await?
    {
        return Err(task_not_found().at(submission.at("parent_id")));
    }
    submission.into_spec(state.ids.make_task(), &known, caller.owner, traceparent)
}

/// The fates, and whether they were told before.
pub(crate) fn admitted(admitted: Admitted) -> Result<(Vec<Fate>, bool), Problem> {
    match admitted {
        Admitted::Fresh(fates) => Ok((fates, false)),
        Admitted::Replayed(fates) => Ok((fates, true)),
        Admitted::KeyReused => Err(Problem::key_reused()),
        Admitted::InFlight => Err(Problem::key_in_flight()),
    }
}

/// `Location`, and whether the answer was given before.
pub(crate) fn with_replay(mut response: HttpResponseBuilder, replayed: bool, task: &TaskView) -> HttpResponseBuilder {
    response.insert_header((header::LOCATION, format!("/v1/tasks/{}", task.id)));
    if replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    response
}

/// An earlier task that stands for this one.
#[derive(Serialize, ToSchema)]
struct Deduplicated {
    #[serde(flatten)]
    task: TaskView,
    /// True where it is an earlier task.
    #[schema(required = false)]
    deduplicated: bool,
}

async fn existing(
    state: &ApiState,
    caller: &Caller,
    id: TaskId,
    replayed: bool,
    wait: PreferWait,
) -> Result<HttpResponse, Problem> {
    let task = match ended(state, caller.owner, id, wait).await {
        Some(task) => Some(task),
        None => state.store.show_task(caller.owner, id).await?,
    };
    let Some(task) = task else {
        return Err(duplicate(Some(id).filter(|_| caller.restriction().is_none()))); // its key may outlive it
    };
    // a unique key is the user's, over all queues; an answer that is repeated may have been another key's
    caller.covers(&task.queue).map_err(|_| duplicate(None))?;
    let mut response = with_replay(HttpResponse::Ok(), replayed, &task);
    applied(&mut response, wait);
    Ok(response.json(Deduplicated { task, deduplicated: true }))
}

/// Without an id where the caller may not know of the other task.
pub(super) fn duplicate(id: Option<TaskId>) -> Problem {
    let Some(id) = id else {
        let detail = "a unique task in a queue that this key is not for keeps this one out";
        return Problem::new(Code::DuplicateTask, detail);
    };
    let detail = format!("task {id} is unique and keeps this one out");
    Problem::new(Code::DuplicateTask, detail).with("existing_task_id", id.to_string())
}
