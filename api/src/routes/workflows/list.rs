//! `GET /v1/workflows`: the workflows of a user, the newest first.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::workflows::WorkflowView;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    cursor::PagedList,
    extract::{OfAllQueues, Query},
    openapi::examples,
    problem::{Code, Problem},
    routes::{Page, paged},
    state::ApiState,
};

const LIST: PagedList<Uuid> = PagedList::new("workflows");

/// What a page can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct WorkflowsQuery {
    /// Whose; left out: your own. For the operator only.
    user_id: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Workflows of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List workflows
///
/// Running and ended ones, the newest first. Their nodes stand at their own addresses.
#[utoipa::path(
    get,
    path = "/v1/workflows",
    operation_id = "list_workflows",
    tag = "workflows",
    params(WorkflowsQuery),
    responses((status = 200, description = "A page.", body = Page<WorkflowView>,
        example = json!({"data": [examples::workflow()], "next_cursor": null}))),
    extensions(("x-problems" = json!([OfAllQueues::PROBLEMS, Query::PROBLEMS, [Code::UserNotFound]]))),
)]
pub(crate) async fn list(
    state: Data<ApiState>,
    OfAllQueues(caller): OfAllQueues,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let named = query.user();
    let before = query.cursor(&LIST);
    let limit = query.limit();
    let before = query.finish(before)?.unwrap_or(Uuid::max());
    let found = state.store.list_workflows(caller.whose(named)?, before, limit + 1).await?;
    Ok(paged(found, limit, |last| LIST.cursor(&last.id)))
}
