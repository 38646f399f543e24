//! `POST /v1/workflows/{id}/retry`: what did not succeed runs again, and what hangs on it.

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use caraway_shared::{
    store::{
        tasks::Key,
        workflows::{Created, Retried, WorkflowView},
    },
    task::OwnerId,
};
use uuid::Uuid;

use super::sketch::{announced, answered_before};
use crate::{
    callers::Caller,
    extract::{Fields, IdempotencyKey, JsonBody, OfAllQueues, WorkflowPath, workflow_not_found},
    openapi::examples,
    problem::{Code, Problem},
    quotas::Place,
    state::ApiState,
};

/// Retry a workflow
///
/// Of a workflow that has ended, the nodes that did not succeed run again, and so does whatever hangs on them; what succeeded
/// stays. Their tasks are new ones, which point back with `retry_of`; the workflow is the same, and runs again. One of which
/// everything succeeded stays as it is.
#[utoipa::path(
    post,
    path = "/v1/workflows/{id}/retry",
    operation_id = "retry_workflow",
    tag = "workflows",
    params(WorkflowPath, IdempotencyKey),
    responses((
        status = 202, description = "The workflow, as it goes on.", body = WorkflowView,
        headers(
            ("Location" = String, description = "Its address."),
            ("Idempotency-Replayed" = String, description = "`true` where the answer was given before."),
        ),
        example = json!(examples::workflow()),
    )),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, 
        WorkflowPath::PROBLEMS,
        IdempotencyKey::PROBLEMS,
        JsonBody::PROBLEMS,
        [Code::WorkflowNotFinished, Code::QuotaExceeded, Code::Contended, Code::Overloaded]
    ]))),
)]
pub(crate) async fn retry(
    request: HttpRequest,
    state: Data<ApiState>,
    OfAllQueues(caller): OfAllQueues,
    WorkflowPath(id): WorkflowPath,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.optional().unwrap_or(b"{}");
    Fields::of(body)?.finish(Some(()))?;
    let key = key.of(&request, body);
    let created = match within_quota(&state, &caller, id).await {
        Ok(_within) => again(&state, caller.owner, id, key.as_ref()).await?,
        Err(problem) => answered_before(&state, caller.owner, key.as_ref(), problem).await?,
    };
    let (view, replayed): (WorkflowView, bool) = announced(&state, created)?;
    let mut response = HttpResponse::Accepted();
    response.insert_header((header::LOCATION, format!("/v1/workflows/{id}")));
    if replayed {
        response.insert_header(("Idempotency-Replayed", "true"));
    }
    Ok(response.json(view))
}

/// Room for what did not succeed. What hangs on it and did is not known yet, and is let through.
async fn within_quota(state: &ApiState, caller: &Caller, id: Uuid) -> Result<Place, Problem> {
    let mut tasks = 0;
    if caller.quotas.queued_tasks.is_some() {
        let view = state.store.show_workflow(caller.owner, id).await?.ok_or_else(workflow_not_found)?;
        tasks = usize::try_from(view.counts.total - view.counts.succeeded).unwrap_or(0);
    }
    state.quotas.tasks(caller, tasks).await
}

async fn again(state: &ApiState, owner: OwnerId, id: Uuid, key: Option<&Key>) -> Result<Created, Problem> {
    match state.store.retry_workflow(owner, id, key).await? {
        Retried::Missing => Err(workflow_not_found()),
        Retried::NotYet => Err(Problem::new(Code::WorkflowNotFinished, "only what has ended can be retried")),
        Retried::Answered(created) => Ok(created),
    }
}
