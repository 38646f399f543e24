//! How much a user has stored: items, values by key, and items of work queues.

use uuid::Uuid;

use super::{Store, StoreError, data::ENDED};
use crate::task::OwnerId;

/// Items from an index alone where that is vacuumed (100,000: 0.1 s); lengths of the others without their contents.
const COUNT: &str = "
    SELECT ((SELECT coalesce(sum(i.bytes), 0) FROM item i WHERE i.owner_id = $1 AND i.sha256 IS NOT NULL)
        + (SELECT coalesce(sum(octet_length(d.value)), 0) FROM data d
            WHERE d.owner_id = $1 AND d.key IS DISTINCT FROM $2 AND NOT ({ended}))
        + (SELECT coalesce(sum(octet_length(w.payload)), 0) FROM coordination c JOIN work_item w ON w.object_id = c.id
            WHERE c.owner_id = $1 AND c.kind = 'work_queue' AND w.id IS DISTINCT FROM $3))::int8";

/// What is to be stored, and what it takes the place of.
#[derive(Clone, Copy, Debug)]
pub enum Storable<'a> {
    /// An item: it takes nobody's place.
    Item,
    /// A value, in place of that which has this key.
    Value(&'a str),
    /// An item of a work queue: the same one, if it was put in before.
    WorkItem(Uuid),
}

impl Store {
    /// Bytes that an owner has stored, without those whose place is taken.
    pub async fn stored_bytes(&self, owner: OwnerId, new: Storable<'_>) -> Result<i64, StoreError> {
        let (key, work_item) = match new {
            Storable::Item => (None, None),
            Storable::Value(key) => (Some(key), None),
            Storable::WorkItem(id) => (None, Some(id)),
        };
        let db = self.connection().await?;
        let count = db.prepare_cached(&COUNT.replace("{ended}", ENDED)).await?;
        Ok(db.query_one(&count, &[&owner.0, &key, &work_item]).await?.try_get(0)?)
    }
}
