//! `POST /items`: a body, or the one part of a form, becomes a stored item.
//!
//! Invariants: an upload holds one chunk in memory, and there is a fixed number of uploads, not all of one user; a connection to the database is
//! held while a chunk is written and never while the client is waited for; nobody sees the item before all of it is stored.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use caraway_shared::store::{CHUNK_BYTES, Item, Storable};

use super::{ItemView, incoming::Incoming, media_type};
use crate::{
    callers::Caller,
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

/// How long an upload waits for others to finish.
const PATIENCE: Duration = Duration::from_secs(5);

/// Store an item
///
/// The bytes themselves are the body, or the only part of a form (`multipart/form-data`): 1 byte to the limit
/// of this installation (`--item-mebibytes`, 100 MiB by default). What they are is
/// told by their first bytes, and held against `Content-Type`; any media type is taken, JSON too, and `application/octet-stream`
/// says nothing. The item exists when all of it is stored, and not before. Its user's quota is asked before its body is read, and
/// again before it exists.
#[utoipa::path(
    post,
    path = "/items",
    operation_id = "upload_item",
    tag = "items",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The bytes of the item."),
    responses((
        status = 201, description = "Stored.", body = ItemView,
        headers(("Location" = String, description = "The item's address.")),
        links(
            ("item" = (operation_id = "get_item", parameters(("id" = "$response.body#/id")))),
            ("content" = (operation_id = "get_item_content", parameters(("id" = "$response.body#/id")))),
            ("process" = (operation_id = "process_image", parameters(("id" = "$response.body#/id")))),
            ("delete" = (operation_id = "delete_item", parameters(("id" = "$response.body#/id")))),
        ),
        example = json!(examples::item()),
    )),
    extensions(("x-problems" = json!([
        Code::BadRequest,
        Code::EmptyBody,
        Code::BodyTimeout,
        Code::BodyTooLarge,
        Code::UnfitForm,
        Code::UnsupportedMediaType,
        Code::ContentTypeMismatch,
        Code::Overloaded,
        Code::QuotaExceeded
    ]))),
)]
pub(crate) async fn upload(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let overloaded = |_| Problem::new(Code::Overloaded, "too many uploads at once; try again in a moment");
    let _place = state.shares.uploads.take(caller.owner, PATIENCE).await.map_err(overloaded)?;
    state.quotas.may_store(&caller, Incoming::length(&request)).await?;
    let mut incoming = Incoming::open(&request, payload.into_inner(), state.item_bytes_max).await?;
    let mut chunk = incoming.chunk().await?;
    if chunk.is_empty() {
        return Err(Problem::new(Code::EmptyBody, "send the item's bytes as the body"));
    }
    let content_type = media_type::decide(incoming.declared(), &chunk)?;
    let mut upload = state.store.upload(state.ids.make(), caller.owner, content_type);
    while chunk.len() == CHUNK_BYTES {
        upload.write(chunk).await?;
        chunk = incoming.chunk().await?;
    }
    let _storing = state.quotas.store(&caller, incoming.bytes(), Storable::Item).await?;
    Ok(created(upload.finish(chunk).await?))
}

fn created(item: Item) -> HttpResponse {
    HttpResponse::Created().insert_header((header::LOCATION, format!("/items/{}", item.id))).json(ItemView::from(item))
}
