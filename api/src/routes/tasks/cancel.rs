//! `POST /v1/tasks/{id}/cancel`: at once before the start, a request while it runs. Safe to repeat.

use actix_web::{HttpResponse, http::header::ContentType, web::Data};
use caraway_shared::{store::tasks::Cancelled, task::State};

use crate::{
    document,
    extract::{Owner, TaskPath, task_not_found},
    problem::{Code, Problem},
    state::ApiState,
};

/// 200 with the task when it is cancelled, 202 when it was asked to stop, 409 when it had ended otherwise.
pub(crate) async fn cancel(
    state: Data<ApiState>,
    Owner(owner): Owner,
    TaskPath(id): TaskPath,
) -> Result<HttpResponse, Problem> {
    let mut response = match state.store.cancel_task(owner, id).await? {
        Cancelled::Now | Cancelled::Over(State::Cancelled) => HttpResponse::Ok(),
        Cancelled::Requested => HttpResponse::Accepted(),
        Cancelled::Over(ended) => return Err(already_finished(ended)),
        Cancelled::Missing => return Err(task_not_found()),
    };
    Ok(response.content_type(ContentType::json()).body(document::load(&state, owner, id).await?))
}

fn already_finished(ended: State) -> Problem {
    Problem::new(Code::TaskAlreadyFinished, format!("the task is {ended}; it can no longer be cancelled"))
        .with("state", ended.as_str())
}
