//! `GET /v1/api-keys`: a user's keys without their secrets, the newest first.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::KeyView;
use utoipa::IntoParams;

use crate::{
    callers::Caller,
    cursor::PagedList,
    extract::Query,
    openapi::examples,
    problem::{Code, Problem},
    routes::{Page, paged},
    state::ApiState,
};

const LIST: PagedList<i64> = PagedList::new("api keys");

/// What a page can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct KeysQuery {
    /// Whose; left out: your own. For the operator only.
    user_id: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Keys of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List API keys
///
/// Your user's, revoked ones too, the newest first; without their secrets.
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    operation_id = "list_api_keys",
    tag = "users",
    params(KeysQuery),
    responses((
        status = 200, description = "A page.", body = Page<KeyView>,
        example = json!({"data": [examples::key()], "next_cursor": null}),
    )),
    extensions(("x-problems" = json!([Query::PROBLEMS, [Code::UserNotFound]]))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, mut query: Query) -> Result<HttpResponse, Problem> {
    let named = query.user();
    let before = query.cursor(&LIST);
    let limit = query.limit();
    query.finish(())?;
    let found = state.store.list_keys(caller.whose(named)?, before.unwrap_or(i64::MAX), limit + 1).await?;
    Ok(paged(found, limit, |last| LIST.cursor(&last.id.0)))
}
