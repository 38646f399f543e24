//! `GET /v1/audit`: which orders were carried out, and who gave them, the newest first.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::store::AuditEntry;
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

const LIST: PagedList<i64> = PagedList::new("audit");

/// What a page can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct AuditQuery {
    /// Orders about the objects of this user. Left out: about your own, and for the operator about everybody's.
    user_id: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Orders of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List who broke, deleted or put back what
///
/// The audit log of orders about what is kept here: when, by which user and key, what was done to which object, and the reason that
/// was given. The newest first; kept for 400 days.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "list_audit",
    tag = "users",
    params(AuditQuery),
    responses((
        status = 200, description = "A page.", body = Page<AuditEntry>,
        example = json!({"data": [examples::audit_entry()], "next_cursor": null}),
    )),
    extensions(("x-problems" = json!([Query::PROBLEMS, [Code::UserNotFound]]))),
)]
pub(crate) async fn audit(state: Data<ApiState>, caller: Caller, mut query: Query) -> Result<HttpResponse, Problem> {
    let named = query.user();
    let before = query.cursor(&LIST);
    let limit = query.limit();
    query.finish(())?;
    let of_all = named.is_none() && caller.is_operator();
    let owner = if of_all { None } else { Some(caller.whose(named)?) };
    let found = state.store.audit_log(owner, before.unwrap_or(i64::MAX), limit + 1).await?;
    Ok(paged(found, limit, |last| LIST.cursor(&last.id)))
}
