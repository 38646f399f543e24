//! `GET /v1/users`: every account, the oldest first.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::UserView;
use utoipa::IntoParams;

use crate::{
    cursor::PagedList,
    extract::Query,
    openapi::examples,
    problem::Problem,
    routes::{Page, paged},
    state::ApiState,
};

const LIST: PagedList<i64> = PagedList::new("users");

/// What a page can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct UsersQuery {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Users of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List the users
///
/// Every account, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/users",
    operation_id = "list_users",
    tag = "users",
    params(UsersQuery),
    responses((
        status = 200, description = "A page.", body = Page<UserView>,
        example = json!({"data": [examples::user()], "next_cursor": null}),
    )),
    extensions(("x-problems" = json!(Query::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, mut query: Query) -> Result<HttpResponse, Problem> {
    let after = query.cursor(&LIST);
    let limit = query.limit();
    query.finish(())?;
    let found = state.store.list_users(after.unwrap_or(0), limit + 1).await?;
    Ok(paged(found, limit, |last| LIST.cursor(&last.id)))
}
