//! `GET /items/{id}`: what is known of an item.

use actix_web::{HttpRequest, HttpResponse, http::header::EntityTag, web::Data};

use super::ItemView;
use crate::{
    conditional::Conditional,
    extract::{ItemPath, Owner, item_not_found},
    problem::Problem,
    state::ApiState,
};

/// The item; its `ETag` is the content's SHA-256, because nothing else about an item can differ.
pub(crate) async fn show(
    request: HttpRequest,
    state: Data<ApiState>,
    Owner(owner): Owner,
    ItemPath(id): ItemPath,
) -> Result<HttpResponse, Problem> {
    let item = state.store.item(owner, id).await?.ok_or_else(item_not_found)?;
    let Conditional { mut response, fresh } =
        Conditional::new(&request, EntityTag::new_strong(hex::encode(&item.sha256)));
    Ok(if fresh { response.json(ItemView::from(item)) } else { response.finish() })
}
