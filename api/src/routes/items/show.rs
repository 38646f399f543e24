//! `GET /items/{id}`: what is known of an item.

use actix_web::{HttpRequest, HttpResponse, http::header::EntityTag, web::Data};

use super::ItemView;
use crate::{
    callers::Caller,
    conditional::{Condition, Conditional},
    extract::{ItemPath, item_not_found},
    openapi::examples,
    problem::Problem,
    state::ApiState,
};

/// Show an item
///
/// What is known of it; `GET /items/{id}/content` are its bytes. The `ETag` is the content's SHA-256, because nothing else about an
/// item can differ.
#[utoipa::path(
    get,
    path = "/items/{id}",
    operation_id = "get_item",
    tag = "items",
    params(ItemPath, Condition),
    responses(
        (status = 200, description = "The item.", body = ItemView, 
            headers(("ETag" = String, description = "Of this content; send it as `If-None-Match`.")), example = json!(examples::item())),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!(ItemPath::PROBLEMS))),
)]
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    ItemPath(id): ItemPath,
) -> Result<HttpResponse, Problem> {
    let item = state.store.item(caller.owner, id).await?.ok_or_else(item_not_found)?;
    let Conditional { mut response, fresh } =
        Conditional::new(&request, EntityTag::new_strong(hex::encode(&item.sha256)));
    Ok(if fresh { response.json(ItemView::from(item)) } else { response.finish() })
}
