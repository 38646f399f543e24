//! `DELETE /items/{id}`: an item is no longer wanted.

use actix_web::{HttpResponse, web::Data};

use crate::{
    callers::Caller,
    extract::{ItemPath, item_not_found},
    problem::Problem,
    state::ApiState,
};

/// Delete an item
///
/// It is gone for good, and its id is never used again. A task that was to read it fails with the code `item_not_found`; a
/// download that is under way breaks off.
#[utoipa::path(
    delete,
    path = "/items/{id}",
    operation_id = "delete_item",
    tag = "items",
    params(ItemPath),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-problems" = json!(ItemPath::PROBLEMS))),
)]
pub(crate) async fn delete(
    state: Data<ApiState>,
    caller: Caller,
    ItemPath(id): ItemPath,
) -> Result<HttpResponse, Problem> {
    if state.store.delete_item(caller.owner, id).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(item_not_found())
    }
}
