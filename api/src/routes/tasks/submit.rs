//! (1) REQUEST: `POST /v1/tasks`, from a body to a validated spec; then to (2), `accept.rs`.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    web::Data,
};
use caraway_shared::{
    store::{TaskType, tasks::TaskView},
    task::{OwnerId, TaskId, TaskSpec},
};

use super::{arguments, submission::Submission};
use crate::{
    extract::{JsonBody, Owner, traceparent},
    problem::Problem,
    state::ApiState,
};

/// 202 with `Location` and the task, once it can no longer be lost.
pub(crate) async fn submit(
    request: HttpRequest,
    state: Data<ApiState>,
    Owner(owner): Owner,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let submission = Submission::read(body.required()?)?;
    let known = state.known.task_type(&submission.name).await?;
    if let Some(queue) = &submission.queue {
        state.known.queue(queue).await?;
    }
    arguments::check(&submission, &known.parameters)?;
    let task = state.acceptor.accept(spec(submission, &known, owner, request.headers())).await?;
    Ok(accepted(&task))
}

fn spec(submission: Submission<'_>, known: &TaskType, owner: OwnerId, headers: &HeaderMap) -> TaskSpec {
    TaskSpec {
        id: TaskId::now(),
        owner,
        input: submission.input(),
        name: submission.name,
        version: known.version,
        queue: submission.queue.unwrap_or_else(|| known.queue.clone()),
        priority: submission.priority,
        max_attempts: submission.max_attempts,
        backoff: submission.backoff,
        timeout: submission.timeout.or(known.timeout),
        delay: submission.delay,
        traceparent: traceparent(headers),
    }
}

fn accepted(task: &TaskView) -> HttpResponse {
    HttpResponse::Accepted().insert_header((header::LOCATION, format!("/v1/tasks/{}", task.id))).json(task)
}
