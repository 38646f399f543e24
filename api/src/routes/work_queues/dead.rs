//! `GET /v1/work-queues/{name}/dead-letters`: items that were fetched too often without being done.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::coordination::DeadItem;
use utoipa::IntoParams;
use uuid::Uuid;

use super::queue;
use crate::{
    callers::Caller,
    cursor::PagedList,
    extract::{NamePath, Query},
    openapi::examples,
    problem::{Code, Problem},
    routes::{Page, paged},
    state::ApiState,
};

const LIST: PagedList<Uuid> = PagedList::new("dead work items");

/// What may be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct DeadQuery {
    /// Whose queue; left out: your own. For the operator only.
    user_id: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List the dead letters of a work queue
///
/// In the order in which they were put in, kept for a week. `…/put-back` brings them back to their places.
#[utoipa::path(
    get,
    path = "/v1/work-queues/{name}/dead-letters",
    operation_id = "list_dead_work_items",
    tag = "coordination",
    params(NamePath, DeadQuery),
    responses((status = 200, description = "Items.", body = Page<DeadItem>, example = json!({
        "data": [{"item_id": examples::ITEM_ID, "attempts": 5, "payload": {"to": "nobody"}}], "next_cursor": null
    }))),
    extensions(("x-problems" = json!([NamePath::PROBLEMS, Query::PROBLEMS, [Code::UserNotFound]]))),
)]
pub(crate) async fn dead(
    state: Data<ApiState>,
    caller: Caller,
    NamePath(name): NamePath,
    mut query: Query,
) -> Result<HttpResponse, Problem> {
    let named = query.user();
    let after = query.cursor(&LIST);
    let limit = query.limit();
    let after = query.finish(after)?;
    let found = state.store.dead_items(&queue(caller.whose(named)?, name), after, limit + 1).await?;
    Ok(paged(found, limit, |last| LIST.cursor(&last.item_id)))
}
