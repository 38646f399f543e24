//! `POST /v1/workflows/{id}/cancel`: what has not started never will, what runs is asked to stop. Safe to repeat.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::{
    AuditAction,
    workflows::{CancelledWorkflow, WorkflowView},
};

use crate::{
    extract::{OfAllQueues, WorkflowPath, workflow_not_found},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// Cancel a workflow
///
/// What of it has not started is cancelled at once; what runs is asked to stop, and the workflow is `cancelled` when that has.
/// Safe to repeat. The operator cancels anybody's, which the audit log tells.
#[utoipa::path(
    post,
    path = "/v1/workflows/{id}/cancel",
    operation_id = "cancel_workflow",
    tag = "workflows",
    params(WorkflowPath),
    responses(
        (status = 200, description = "It is cancelled.", body = WorkflowView, example = json!(examples::workflow_cancelled())),
        (status = 202, description = "Some of it runs, and was asked to stop.", body = WorkflowView,
            example = json!(examples::workflow())),
    ),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, WorkflowPath::PROBLEMS,
        [Code::WorkflowAlreadyFinished, Code::Contended, Code::Overloaded]
    ]))),
)]
pub(crate) async fn cancel(
    state: Data<ApiState>,
    OfAllQueues(caller): OfAllQueues,
    WorkflowPath(id): WorkflowPath,
) -> Result<HttpResponse, Problem> {
    let mut cancelled = state.store.cancel_workflow(caller.owner, id).await?;
    if matches!(cancelled, CancelledWorkflow::Missing) && caller.is_operator() {
        let owner = state.store.workflow_owner(id).await?.ok_or_else(workflow_not_found)?;
        let order = caller.order(owner, AuditAction::CancelWorkflow, &id);
        cancelled = state.store.cancel_workflow_by(&order, id).await?;
    }
    match cancelled {
        CancelledWorkflow::Missing => Err(workflow_not_found()),
        CancelledWorkflow::Over(ended) => {
            let detail = format!("the workflow is {}; it can no longer be cancelled", ended.as_str());
            Err(Problem::new(Code::WorkflowAlreadyFinished, detail))
        }
        CancelledWorkflow::Asked(view, ended) => {
            state.waiting.wake(&ended);
            let mut response = if view.finished_at.is_some() { HttpResponse::Ok() } else { HttpResponse::Accepted() };
            Ok(response.json(view))
        }
    }
}
