//! `/items`: one file per endpoint.

pub(crate) mod content;
pub(crate) mod delete;
mod incoming;
pub(crate) mod list;
mod media_type;
mod range;
pub(crate) mod show;
pub(crate) mod upload;

pub(crate) use self::media_type::is_processable;

use caraway_shared::store::Item;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An item as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Item)]
struct ItemView {
    id: Uuid,
    /// As recognised by its first bytes, else as declared.
    content_type: String,
    /// Its size.
    bytes: i64,
    /// Of its content.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    /// The task that made it; absent where a client uploaded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<Uuid>,
    created_at: Timestamp,
}

impl From<Item> for ItemView {
    fn from(item: Item) -> Self {
        Self {
            id: item.id,
            content_type: item.content_type,
            bytes: item.bytes,
            sha256: hex::encode(&item.sha256),
            task_id: item.task_id,
            created_at: item.created_at,
        }
    }
}
