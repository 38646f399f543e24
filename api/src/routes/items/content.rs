//! `GET /items/{id}/content`: the bytes of an item.
//!
//! Invariant: a connection to the database is held for one chunk at a time, so slow readers cannot use them up.

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::header::{self, EntityTag},
    web::Data,
};
use bytes::Bytes;
use caraway_shared::{
    store::{Item, Store, StoreError},
    task::OwnerId,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::is_processable;
use crate::{
    callers::Caller,
    conditional::{Condition, Conditional},
    extract::{ItemPath, item_not_found},
    problem::Problem,
    state::ApiState,
};

/// A second wall behind `Content-Disposition`: even a browser that shows the content must not run it.
const NO_SCRIPTS: &str = "default-src 'none'; sandbox";

/// Download an item
///
/// Its bytes, under its own media type. Images may be shown in place, everything else is an attachment.
#[utoipa::path(
    get,
    path = "/items/{id}/content",
    operation_id = "get_item_content",
    tag = "items",
    params(ItemPath, Condition),
    responses(
        (status = 200, description = "The bytes.", content_type = "*/*", body = Vec<u8>,
            headers(
                ("ETag" = String, description = "Of this content; send it as `If-None-Match`."),
                ("Content-Disposition" = String, description = "`inline` for images, else `attachment`."),
            )),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!(ItemPath::PROBLEMS))),
)]
// Chunk by chunk. The first one is read before the head goes out, so that a database that is away is an honest 503 and
// not a broken download.
pub(crate) async fn content(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    ItemPath(id): ItemPath,
) -> Result<HttpResponse, Problem> {
    let owner = caller.owner;
    let item = state.store.item(owner, id).await?.ok_or_else(item_not_found)?;
    let Conditional { mut response, fresh } =
        Conditional::new(&request, EntityTag::new_strong(hex::encode(&item.sha256)));
    if !fresh {
        return Ok(response.finish());
    }
    let first =
        state.store.item_chunk(owner, id, 0).await?.ok_or_else(|| Problem::internal("an item without content"))?;
    let rest = chunks(state.store.clone(), owner, id);
    let body = stream::once(async { Ok(first) }).chain(rest).map_err(std::io::Error::other);
    Ok(response
        .content_type(item.content_type.as_str())
        .insert_header((header::CONTENT_DISPOSITION, disposition(&item)))
        .insert_header((header::CONTENT_SECURITY_POLICY, NO_SCRIPTS))
        .body(SizedStream::new(item.bytes.unsigned_abs(), Box::pin(body))))
}

/// From the second chunk to the last.
fn chunks(store: Store, owner: OwnerId, id: Uuid) -> impl Stream<Item = Result<Bytes, StoreError>> {
    stream::try_unfold((store, 1), move |(store, seq)| async move {
        Ok(store.item_chunk(owner, id, seq).await?.map(|chunk| (chunk, (store, seq + 1))))
    })
}

/// Only images are shown in place: HTML that somebody uploaded must not run as ours.
fn disposition(item: &Item) -> String {
    let kind = if is_processable(&item.content_type) { "inline" } else { "attachment" };
    format!("{kind}; filename=\"{}\"", item.id)
}
