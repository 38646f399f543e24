//! `DELETE /v1/workflows/{id}`: a workflow that has ended, before its time.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::{AuditAction, workflows::DeletedWorkflow};

use crate::{
    callers::Caller,
    extract::{OrderQuery, WorkflowPath, workflow_not_found},
    problem::{Code, Problem},
    state::ApiState,
};

/// Delete a workflow that has ended
///
/// Its graph and its counts are gone; its tasks stay as single ones, and go at their own time.
#[utoipa::path(
    delete,
    path = "/v1/workflows/{id}",
    operation_id = "delete_workflow",
    tag = "workflows",
    params(WorkflowPath, OrderQuery),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-problems" = json!([WorkflowPath::PROBLEMS, OrderQuery::PROBLEMS, [Code::WorkflowNotFinished]]))),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    caller: Caller,
    WorkflowPath(id): WorkflowPath,
    query: OrderQuery,
) -> Result<HttpResponse, Problem> {
    let order = query.order(&caller, AuditAction::DeleteWorkflow, &id)?;
    match state.store.delete_workflow(id, &order).await? {
        DeletedWorkflow::Gone => Ok(HttpResponse::NoContent().finish()),
        DeletedWorkflow::Missing => Err(workflow_not_found()),
        DeletedWorkflow::Running => {
            Err(Problem::new(Code::WorkflowNotFinished, "the workflow has not ended; cancel it first"))
        }
    }
}
