//! `GET /items/{id}/content`: the bytes of an item, or a part of them.
//!
//! Invariant: a connection to the database, and memory, is held for one chunk at a time, so slow readers cannot use them up.

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::{
        StatusCode,
        header::{self, EntityTag},
    },
    web::Data,
};
use bytes::Bytes;
use caraway_shared::{
    store::{Item, Store, StoreError},
    task::OwnerId,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::{
    is_processable,
    range::{self, Part, RangeHeaders},
};
use crate::{
    callers::Caller,
    conditional::{Condition, Conditional},
    extract::{ItemPath, item_not_found},
    problem::{Code, Problem},
    state::ApiState,
};

/// A second wall behind `Content-Disposition`: even a browser that shows the content must not run it.
const NO_SCRIPTS: &str = "default-src 'none'; sandbox";

/// Download an item
///
/// Its bytes, under its own media type, or one range of them. Images may be shown in place, everything else is an attachment.
#[utoipa::path(
    get,
    path = "/items/{id}/content",
    operation_id = "get_item_content",
    tag = "items",
    params(ItemPath, Condition, RangeHeaders),
    responses(
        (status = 200, description = "The bytes.", content_type = "*/*", body = Vec<u8>,
            headers(
                ("ETag" = String, description = "Of this content; send it as `If-None-Match`, or as `If-Range`."),
                ("Content-Disposition" = String, description = "`inline` for images, else `attachment`."),
                ("Accept-Ranges" = String, description = "`bytes`."),
            )),
        (status = 206, description = "The bytes of the range.", content_type = "*/*", body = Vec<u8>,
            headers(("Content-Range" = String, description = "Which of how many, such as `bytes 0-99/48213`."))),
        (status = 304, description = "It has not changed."),
    ),
    extensions(("x-problems" = json!([ItemPath::PROBLEMS, [Code::RangeNotSatisfiable]]))),
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
    let tag = EntityTag::new_strong(hex::encode(&item.sha256));
    let Conditional { mut response, fresh } = Conditional::new(&request, tag.clone());
    if !fresh {
        return Ok(response.finish());
    }
    let part = range::asked(&request, &tag, item.bytes)?;
    if let Some(part) = part {
        let range = format!("bytes {}-{}/{}", part.from, part.to - 1, item.bytes);
        response.status(StatusCode::PARTIAL_CONTENT).insert_header((header::CONTENT_RANGE, range));
    }
    let part = part.unwrap_or(Part { from: 0, to: item.bytes });
    let mut pieces = Pieces { store: state.store.clone(), owner, id, part };
    let length = (part.to - part.from).unsigned_abs();
    let first = pieces.next().await?.ok_or_else(item_not_found)?;
    let body = stream::once(async { Ok(first) }).chain(pieces.rest()).map_err(std::io::Error::other);
    Ok(response
        .content_type(item.content_type.as_str())
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CONTENT_DISPOSITION, disposition(&item)))
        .insert_header((header::CONTENT_SECURITY_POLICY, NO_SCRIPTS))
        .body(SizedStream::new(length, Box::pin(body))))
}

/// What is left of a download.
struct Pieces {
    store: Store,
    owner: OwnerId,
    id: Uuid,
    part: Part,
}

impl Pieces {
    /// The next piece, of a chunk at most. None at the end; none before it where the item was removed meanwhile.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let left = usize::try_from(self.part.to - self.part.from).unwrap_or(0);
        if left == 0 {
            return Ok(None);
        }
        let Some(mut piece) = self.store.item_bytes(self.owner, self.id, self.part.from).await? else {
            return Ok(None);
        };
        piece.truncate(left);
        self.part.from += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        Ok(Some(piece))
    }

    /// All the pieces. A body that ends before its announced length ends its connection, too: the client knows.
    fn rest(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        stream::try_unfold(self, |mut pieces| async move { Ok(pieces.next().await?.map(|piece| (piece, pieces))) })
    }
}

/// Only images are shown in place: HTML that somebody uploaded must not run as ours.
fn disposition(item: &Item) -> String {
    let kind = if is_processable(&item.content_type) { "inline" } else { "attachment" };
    format!("{kind}; filename=\"{}\"", item.id)
}
