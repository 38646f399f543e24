//! `GET /v1/workflows/{id}`: where a workflow stands, and its nodes by page.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::store::workflows::{NodeView, WorkflowView};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    conditional::{self, Condition},
    cursor::PagedList,
    extract::{OfAllQueues, Query, WorkflowPath, wait, workflow_not_found},
    openapi::examples,
    problem::Problem,
    routes::Page,
    state::ApiState,
};

/// By the index of a page's first node.
const NODES: PagedList<i64> = PagedList::new("workflow nodes");

/// What may be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct ShowQuery {
    /// Answer when the workflow has ended, at the latest after this many seconds. More than 60 count as 60.
    #[param(minimum = 0, default = 0)]
    wait: Option<f64>,
    /// The `next_cursor` of the page of nodes before.
    cursor: Option<String>,
    /// Nodes of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// A workflow and some of its nodes.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkflowDocument)]
struct Document {
    #[serde(flatten)]
    workflow: WorkflowView,
    /// In the order given.
    nodes: Page<NodeView>,
}

/// Show a workflow
///
/// Where it stands, how many of its nodes stand where, and its nodes by page. At once, or with `?wait=N` when it has ended, at the
/// latest after N seconds. The `ETag` is of the content: a client that polls pays for changes only.
#[utoipa::path(
    get,
    path = "/v1/workflows/{id}",
    operation_id = "get_workflow",
    tag = "workflows",
    params(WorkflowPath, ShowQuery, Condition),
    responses(
        (status = 200, description = "The workflow.", body = Document,
            headers(("ETag" = String, description = "Of this content; send it as `If-None-Match`.")),
            example = json!(examples::workflow_shown())),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, WorkflowPath::PROBLEMS, Query::PROBLEMS]))),
)]
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    OfAllQueues(caller): OfAllQueues,
    WorkflowPath(id): WorkflowPath,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let patience = query.optional("wait", "must be a number of seconds, 0 or more", wait::patience).unwrap_or_default();
    let from = query.cursor(&NODES);
    let limit = query.limit();
    let from = query.finish(from)?.and_then(|from| i32::try_from(from).ok()).unwrap_or(0).max(0);
    if !patience.is_zero() {
        state.waiting.until_workflow_ended(caller.owner, id, patience).await?;
    }
    let workflow = state.store.show_workflow(caller.owner, id).await?.ok_or_else(workflow_not_found)?;
    let found = state.store.show_nodes(id, from, limit + 1).await?; // one more tells whether there is another page
    let nodes = Page::of(found, limit, |last| NODES.cursor(&(i64::from(last.index) + 1)));
    let document = serde_json::to_vec(&Document { workflow, nodes }).map_err(Problem::internal)?;
    Ok(conditional::json(&request, document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_cursor() {
        let shown = examples::workflow_shown();
        assert_eq!(NODES.position(shown["nodes"]["next_cursor"].as_str().unwrap()), Ok(1));
    }
}
