//! `GET /v1/workflows/{id}/results`: the list of what its tasks returned, in the order given.
//!
//! Invariant: a piece at a time, and a connection to the database for each piece only: results are bounded one by one, their
//! sum is not.

use std::collections::VecDeque;

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web::Data};
use bytes::{Bytes, BytesMut};
use caraway_shared::{
    store::{
        Store, StoreError,
        workflows::{NodeResult, WorkflowView},
    },
    workflow::WorkflowState,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use crate::{
    conditional::{Condition, Conditional, tag_of},
    extract::{OfAllQueues, WorkflowPath, workflow_not_found},
    problem::{Code, Problem},
    state::ApiState,
};

/// Fetch a workflow's results
///
/// What its tasks returned, byte for byte, as one list in the order given: of a chain the last one is its result, of a chord that
/// of the body. Of a workflow with `return_exceptions` an object with `error` and `state` stands for a task without a result; of
/// any other workflow that has not succeeded the answer is `409`. The answer is streamed: it may be large.
#[utoipa::path(
    get,
    path = "/v1/workflows/{id}/results",
    operation_id = "get_workflow_results",
    tag = "workflows",
    params(WorkflowPath, Condition),
    responses(
        (status = 200, description = "The results.", body = Vec<serde_json::Value>,
            headers(("ETag" = String, description = "Of this content; send it as `If-None-Match`.")),
            example = json!(["Result A", "Result B"])),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, 
        WorkflowPath::PROBLEMS,
        [Code::WorkflowNotFinished, Code::WorkflowFailed, Code::WorkflowCancelled]
    ]))),
)]
pub(crate) async fn results(
    request: HttpRequest,
    state: Data<ApiState>,
    OfAllQueues(caller): OfAllQueues,
    WorkflowPath(id): WorkflowPath,
) -> Result<HttpResponse, Problem> {
    let workflow = state.store.show_workflow(caller.owner, id).await?.ok_or_else(workflow_not_found)?;
    has_results(&workflow)?;
    // what has ended never changes, but for a retry, after which it ends again
    let tag = format!("{id} {:?} {:?}", workflow.finished_at, workflow.counts);
    let Conditional { mut response, fresh } = Conditional::new(&request, tag_of(tag.as_bytes()));
    if !fresh {
        return Ok(response.finish());
    }
    // read before the head goes out, so that a database that is away is an honest 503
    let first = state.store.workflow_results(id, 0).await?;
    let body = list(state.store.clone(), id, first).map_err(std::io::Error::other);
    Ok(response.content_type(ContentType::json()).streaming(Box::pin(body)))
}

fn has_results(workflow: &WorkflowView) -> Result<(), Problem> {
    let (code, detail) = match workflow.state {
        WorkflowState::Succeeded => return Ok(()),
        WorkflowState::Failed | WorkflowState::Cancelled if workflow.return_exceptions => return Ok(()),
        WorkflowState::Running => (Code::WorkflowNotFinished, "some of its tasks have not ended; ask again later"),
        WorkflowState::Failed => (Code::WorkflowFailed, "a task has failed; GET /v1/workflows/{id} tells which"),
        WorkflowState::Cancelled => (Code::WorkflowCancelled, "the workflow was cancelled"),
    };
    Err(Problem::new(code, detail))
}

fn list(store: Store, id: Uuid, first: Vec<NodeResult>) -> impl Stream<Item = Result<Bytes, StoreError>> {
    let pieces =
        stream::try_unfold((store, Some(VecDeque::from(first)), true), move |(store, piece, is_first)| async move {
            let Some(piece) = piece.filter(|piece| !piece.is_empty()) else { return Ok(None) };
            let next = piece.back().map_or(i32::MAX, |last| last.node.saturating_add(1));
            let text = joined(&piece, is_first);
            drop(piece);
            let piece = VecDeque::from(store.workflow_results(id, next).await?);
            Ok(Some((text, (store, Some(piece), false))))
        });
    let bracket = |text| stream::once(async move { Ok(Bytes::from_static(text)) });
    bracket(b"[").chain(pieces).chain(bracket(b"]"))
}

fn joined(piece: &VecDeque<NodeResult>, is_first: bool) -> Bytes {
    let mut text = BytesMut::new();
    for (index, result) in piece.iter().enumerate() {
        if index > 0 || !is_first {
            text.extend_from_slice(b",");
        }
        text.extend_from_slice(&result.entry);
    }
    text.freeze()
}
