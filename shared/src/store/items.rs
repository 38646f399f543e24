//! Stored items: the inputs and outputs of tasks, in chunks, so that no statement carries a whole one.
//!
//! Invariants: an item and all its chunks are committed together, so a crash at any point leaves no orphan; an upload
//! holds no connection while it waits for the client, because it is complete before the first statement.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::task::{OwnerId, TaskId};

const CHUNK_BYTES: usize = 256 << 10;

/// An item to store.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// Version 7 for uploads; derived from the task and its role for outputs, so that a repeated attempt stores none twice.
    pub id: Uuid,
    /// Whose it is.
    pub owner: OwnerId,
    /// As sniffed and checked.
    pub content_type: String,
    /// Of the content.
    pub sha256: [u8; 32],
    /// The task that made it.
    pub task: Option<TaskId>,
    /// The content.
    pub content: Bytes,
}

/// A stored item, without its content.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which.
    pub id: Uuid,
    /// As sniffed and checked.
    pub content_type: String,
    /// Its size.
    pub bytes: i64,
    /// Of the content.
    pub sha256: Vec<u8>,
    /// The task that made it.
    pub task_id: Option<Uuid>,
    /// When it was stored.
    pub created_at: Timestamp,
}

impl Store {
    /// Stores an item; one with the same id that stands already stays as it is. Answers when it was stored.
    pub async fn put_item(&self, item: &NewItem) -> Result<Timestamp, StoreError> {
        let mut db = self.connection().await?;
        let transaction = db.transaction().await?;
        let bytes = i64::try_from(item.content.len()).unwrap_or(i64::MAX);
        let inserted = transaction
            .query_opt(
                "INSERT INTO item (id, owner_id, content_type, bytes, sha256, task_id) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (id) DO NOTHING RETURNING created_at",
                &[
                    &item.id,
                    &item.owner.0,
                    &item.content_type,
                    &bytes,
                    &item.sha256.as_slice(),
                    &item.task.map(|task| task.0),
                ],
            )
            .await?;
        let Some(row) = inserted else {
            drop(transaction);
            let row = db.query_one("SELECT created_at FROM item WHERE id = $1", &[&item.id]).await?;
            return Ok(row.try_get(0)?);
        };
        let created_at = row.try_get(0)?;
        let insert = transaction
            .prepare_cached("INSERT INTO item_chunk (item_id, owner_id, seq, data) VALUES ($1, $2, $3, $4)")
            .await?;
        for (seq, chunk) in (0_i32..).zip(item.content.chunks(CHUNK_BYTES)) {
            transaction.execute(&insert, &[&item.id, &item.owner.0, &seq, &chunk]).await?;
        }
        transaction.commit().await?;
        Ok(created_at)
    }

    /// An item of this owner, without its content.
    pub async fn item(&self, owner: OwnerId, id: Uuid) -> Result<Option<Item>, StoreError> {
        let db = self.connection().await?;
        let query = db
            .prepare_cached(
                "SELECT id, content_type, bytes, sha256, task_id, created_at FROM item WHERE id = $1 AND owner_id = $2",
            )
            .await?;
        let row = db.query_opt(&query, &[&id, &owner.0]).await?;
        row.map(|row| {
            Ok(Item {
                id: row.try_get(0)?,
                content_type: row.try_get(1)?,
                bytes: row.try_get(2)?,
                sha256: row.try_get(3)?,
                task_id: row.try_get(4)?,
                created_at: row.try_get(5)?,
            })
        })
        .transpose()
    }

    /// One chunk of an item's content, from 0; `None` past the end. Holds a connection for this chunk only, so a slow
    /// reader holds none.
    pub async fn item_chunk(&self, owner: OwnerId, id: Uuid, seq: i32) -> Result<Option<Bytes>, StoreError> {
        let db = self.connection().await?;
        let query =
            db.prepare_cached("SELECT data FROM item_chunk WHERE item_id = $1 AND owner_id = $2 AND seq = $3").await?;
        let row = db.query_opt(&query, &[&id, &owner.0, &seq]).await?;
        row.map(|row| Ok(Bytes::from(row.try_get::<_, Vec<u8>>(0)?))).transpose()
    }

    /// A whole item's content. For workers, which need all of it; it is bounded by the limit on items.
    pub async fn item_content(&self, owner: OwnerId, id: Uuid) -> Result<Option<Bytes>, StoreError> {
        let mut content = BytesMut::new();
        let mut seq = 0;
        while let Some(chunk) = self.item_chunk(owner, id, seq).await? {
            content.extend_from_slice(&chunk);
            seq += 1;
        }
        Ok((seq > 0).then(|| content.freeze()))
    }
}
