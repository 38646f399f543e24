//! `POST /items`: a raw body becomes a stored item.
//!
//! Invariants: at most a fixed number of uploads is in memory at once, and the next ones wait with their bodies unread;
//! an upload is complete before the first statement, so a slow client holds no connection.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use bytes::Bytes;
use caraway_shared::{
    store::NewItem,
    task::{OwnerId, limits},
};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{ItemView, media_type};
use crate::{
    callers::Caller,
    extract::{BodyLimit, read_body},
    openapi::examples,
    problem::{Code, Problem},
    state::ApiState,
};

const LIMIT: BodyLimit = BodyLimit { bytes_max: limits::ITEM_BYTES_MAX, deadline: Duration::from_secs(30) };
/// How long an upload waits for others to finish.
const PATIENCE: Duration = Duration::from_secs(5);

/// Store an item
///
/// The bytes themselves are the body: 1 byte to 16 MiB, no form, no JSON around them. What they are is told by their first
/// bytes, and held against `Content-Type`; any media type is taken, `application/octet-stream` says nothing.
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
        ),
        example = json!(examples::item()),
    )),
    extensions(("x-problems" = json!([
        Code::BadRequest,
        Code::EmptyBody,
        Code::BodyTimeout,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::ContentTypeMismatch,
        Code::Overloaded
    ]))),
)]
pub(crate) async fn upload(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let _place = place(&state).await?;
    let mut digest = Sha256::new();
    let content = read_body(&request, &mut payload.into_inner(), LIMIT, |piece| digest.update(piece)).await?;
    let item = new_item(&request, caller.owner, content, digest.finalize().into())?;
    let created_at = state.store.put_item(&item).await?;
    let view = ItemView {
        id: item.id,
        content_type: item.content_type,
        bytes: i64::try_from(item.content.len()).unwrap_or(i64::MAX),
        sha256: hex::encode(item.sha256),
        task_id: None,
        created_at,
    };
    Ok(HttpResponse::Created().insert_header((header::LOCATION, format!("/items/{}", view.id))).json(view))
}

async fn place(state: &ApiState) -> Result<OwnedSemaphorePermit, Problem> {
    let waiting = tokio::time::timeout(PATIENCE, Arc::clone(&state.uploads).acquire_owned());
    let overloaded = || Problem::new(Code::Overloaded, "too many uploads at once; try again in a moment");
    waiting.await.map_err(|_| overloaded())?.map_err(|_| overloaded())
}

fn new_item(request: &HttpRequest, owner: OwnerId, content: Bytes, sha256: [u8; 32]) -> Result<NewItem, Problem> {
    if content.is_empty() {
        return Err(Problem::new(Code::EmptyBody, "send the item's bytes as the body"));
    }
    let declared = request.headers().get(header::CONTENT_TYPE).map(|declared| declared.to_str().unwrap_or_default());
    let content_type = media_type::decide(declared, &content)?;
    Ok(NewItem { id: Uuid::now_v7(), owner, content_type, sha256, task: None, content })
}
