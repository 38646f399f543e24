//! `GET /items`: the newest first, page by page, by media type and time, each of which an index serves.

use actix_web::{HttpResponse, web::Data};
use caraway_shared::{store::ItemSearch, task::OwnerId};
use jiff::Timestamp;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{ItemView, media_type};
use crate::{
    callers::Caller,
    cursor::PagedList,
    extract::Query,
    openapi::examples,
    problem::Problem,
    routes::{Page, paged},
    state::ApiState,
};

const LIST: PagedList<(Timestamp, Uuid)> = PagedList::new("items");

/// What a list can be asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape of the query, for the OpenAPI document")]
pub(crate) struct ItemQuery {
    /// Of this media type; parameters such as `charset` are not looked at.
    #[param(max_length = 255, pattern = "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$", example = "image/png")]
    content_type: Option<String>,
    /// Stored then or later.
    created_after: Option<Timestamp>,
    /// Stored earlier.
    created_before: Option<Timestamp>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
}

/// List items
///
/// The newest first, page by page, by media type and by time, together or alone. An upload is listed when all of it is stored.
#[utoipa::path(
    get,
    path = "/items",
    operation_id = "list_items",
    tag = "items",
    params(ItemQuery),
    responses((
        status = 200, description = "A page.", body = Page<ItemView>,
        example = json!({"data": [examples::item()], "next_cursor": null}),
    )),
    extensions(("x-problems" = json!(Query::PROBLEMS))),
)]
pub(crate) async fn list(state: Data<ApiState>, caller: Caller, query: Query) -> Result<HttpResponse, Problem> {
    let mut search = read(caller.owner, query)?;
    let limit = search.limit;
    search.limit += 1; // one more tells whether there is another page
    let found = state.store.list_items(&search).await?;
    let found: Vec<ItemView> = found.into_iter().map(ItemView::from).collect();
    Ok(paged(found, limit, |last| LIST.cursor(&(last.created_at, last.id))))
}

fn read(owner: OwnerId, mut query: Query) -> Result<ItemSearch, Problem> {
    let search = ItemSearch {
        owner,
        media_type: query.optional("content_type", "must be a media type, such as image/png", essence),
        after: query.instant("created_after"),
        before: query.instant("created_before"),
        beyond: query.cursor(&LIST),
        limit: query.limit(),
    };
    query.finish(search)
}

/// A type and a subtype (RFC 6838), in lower case. One with parameters would find nothing, and is no search.
fn essence(text: &str) -> Option<String> {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(named);
    let (kind, subtype) = text.split_once('/')?;
    let whole = is_name(kind) && is_name(subtype) && text.len() <= media_type::BYTES_MAX;
    whole.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_without_case_and_have_no_parameters() {
        assert_eq!(essence("Image/PNG").as_deref(), Some("image/png"));
        for bad in ["", "image", "image/", "text/plain; charset=utf-8", "text/plain;", "a/b/c"] {
            assert_eq!(essence(bad), None, "{bad}");
        }
    }
}
