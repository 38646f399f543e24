//! Stored items: the inputs and outputs of tasks, in chunks, so that nobody has to hold a whole one. This file is the only
//! one that knows where contents lie.
//!
//! Invariants: an item is seen by nobody before its length and its hash are known, which is when its last chunk is
//! committed; every chunk but the last has [`CHUNK_BYTES`]; a connection is held for one statement, or for the storing of
//! what is complete in memory, and never while a client is waited for. A crash at any point leaves at most an unfinished
//! row, which the sweep removes with its chunks.
//!
//! Chunks of an upload are written without waiting for the disk. The statement that makes the item visible does wait, which
//! brings them there too, and counts them: a database that crashed and came back in between may have lost some.

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::task::{OwnerId, TaskId};

/// Bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 256 << 10;
/// [`CHUNK_BYTES`] as lengths in the database are counted.
const CHUNK_LENGTH: i64 = 256 << 10;

/// A new item with its first chunk, which is all that most have. One with the same id that stands already stays as it is, and
/// nothing is returned.
const WHOLE: &str = "
    WITH whole AS (
        INSERT INTO item (id, owner_id, content_type, bytes, sha256, task_id) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (id) DO NOTHING RETURNING id, owner_id, created_at
    ), first AS (
        INSERT INTO item_chunk (item_id, owner_id, seq, data) SELECT id, owner_id, 0, $7::bytea FROM whole
    )
    SELECT created_at FROM whole";

const COLUMNS: &str = "id, content_type, bytes, sha256, task_id, created_at";

/// An item whose content is complete in memory.
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
    /// When it was complete.
    pub created_at: Timestamp,
}

/// Which items a list is about, and where it begins. The newest come first.
#[derive(Clone, Debug)]
pub struct ItemSearch {
    /// Whose.
    pub owner: OwnerId,
    /// Of this media type, whatever its parameters, in lower case.
    pub media_type: Option<String>,
    /// Stored then or later.
    pub after: Option<Timestamp>,
    /// Stored earlier.
    pub before: Option<Timestamp>,
    /// Only those that come after this one: its time and its id.
    pub beyond: Option<(Timestamp, Uuid)>,
    /// At most so many.
    pub limit: i64,
}

impl Store {
    /// Stores an item in one commit; one with the same id that stands already stays as it is.
    pub async fn put_item(&self, item: &NewItem) -> Result<(), StoreError> {
        let (first, rest) = item.content.split_at(item.content.len().min(CHUNK_BYTES));
        let mut db = self.connection().await?;
        let insert = db.prepare_cached(WHOLE).await?;
        let bytes = i64::try_from(item.content.len()).unwrap_or(i64::MAX);
        let (sha256, task) = (item.sha256.as_slice(), item.task.map(|task| task.0));
        let whole: [&(dyn ToSql + Sync); 7] =
            [&item.id, &item.owner.0, &item.content_type, &bytes, &sha256, &task, &first];
        if rest.is_empty() {
            db.query_opt(&insert, &whole).await?;
            return Ok(());
        }
        let transaction = db.transaction().await?;
        if transaction.query_opt(&insert, &whole).await?.is_none() {
            return Ok(());
        }
        let insert = transaction
            .prepare_cached("INSERT INTO item_chunk (item_id, owner_id, seq, data) VALUES ($1, $2, $3, $4)")
            .await?;
        for (seq, chunk) in (1_i32..).zip(rest.chunks(CHUNK_BYTES)) {
            transaction.execute(&insert, &[&item.id, &item.owner.0, &seq, &chunk]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Begins an upload. Nothing is written before its first whole chunk, or its end.
    pub fn upload(&self, id: Uuid, owner: OwnerId, content_type: String) -> Upload {
        let digest = Sha256::new();
        Upload {
            store: self.clone(),
            id,
            owner,
            content_type,
            digest,
            bytes: 0,
            chunks: 0,
            stored: Stored::Nothing,
            writing: None,
        }
    }

    /// An item of this owner, without its content.
    pub async fn item(&self, owner: OwnerId, id: Uuid) -> Result<Option<Item>, StoreError> {
        let db = self.connection().await?;
        let select =
            format!("SELECT {COLUMNS} FROM item WHERE id = $1 AND owner_id = $2 AND (sha256 IS NOT NULL) IS TRUE");
        let select = db.prepare_cached(&select).await?;
        let row = db.query_opt(&select, &[&id, &owner.0]).await?;
        row.as_ref().map(read).transpose()
    }

    /// Items of an owner, the newest first.
    pub async fn list_items(&self, search: &ItemSearch) -> Result<Vec<Item>, StoreError> {
        let by_type = if search.media_type.is_some() { "media_type = $6" } else { "$6::text IS NULL" };
        // the bounds that are not asked for are those that nothing passes
        let select = format!(
            "SELECT {COLUMNS} FROM item
             WHERE owner_id = $1 AND sha256 IS NOT NULL AND {by_type}
                AND created_at >= coalesce($2::timestamptz, '-infinity')
                AND (created_at, id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'))
             ORDER BY created_at DESC, id DESC LIMIT $5"
        );
        let (before, id) = match (search.before, search.beyond) {
            // of a time alone nothing that was stored at it belongs to it, whatever its id
            (Some(before), Some((at, id))) if at < before => (Some(at), Some(id)),
            (Some(before), _) => (Some(before), None),
            (None, beyond) => beyond.unzip(),
        };
        let db = self.connection().await?;
        let select = db.prepare_cached(&select).await?;
        let rows = db
            .query(&select, &[&search.owner.0, &search.after, &before, &id, &search.limit, &search.media_type])
            .await?;
        rows.iter().map(read).collect()
    }

    /// Removes an item of this owner; whether there was one.
    pub async fn delete_item(&self, owner: OwnerId, id: Uuid) -> Result<bool, StoreError> {
        let db = self.connection().await?;
        let delete = "DELETE FROM item WHERE id = $1 AND owner_id = $2 AND (sha256 IS NOT NULL) IS TRUE";
        let delete = db.prepare_cached(delete).await?;
        Ok(db.execute(&delete, &[&id, &owner.0]).await? > 0)
    }

    /// The chunk of an item's content in which the byte at `offset` lies, from that byte on; `None` where there is none, or
    /// none any more. Holds a connection for this chunk only, so a slow reader holds none.
    pub async fn item_bytes(&self, owner: OwnerId, id: Uuid, offset: i64) -> Result<Option<Bytes>, StoreError> {
        let seq = i32::try_from(offset / CHUNK_LENGTH).unwrap_or(i32::MAX);
        let within = usize::try_from(offset % CHUNK_LENGTH).unwrap_or(usize::MAX);
        let db = self.chunks().await?;
        let select = "SELECT data FROM item_chunk WHERE item_id = $1 AND owner_id = $2 AND seq = $3";
        let select = db.prepare_cached(select).await?;
        let Some(row) = db.query_opt(&select, &[&id, &owner.0, &seq]).await? else { return Ok(None) };
        let chunk = Bytes::from(row.try_get::<_, Vec<u8>>(0)?);
        Ok((within < chunk.len()).then(|| chunk.slice(within..)))
    }

    /// A whole item's content. For workers, which need all of it; it is bounded by the limit on items. One that is removed
    /// meanwhile is none.
    pub async fn item_content(&self, owner: OwnerId, id: Uuid) -> Result<Option<Bytes>, StoreError> {
        let Some((bytes, mut content)) = self.item_begin(owner, id).await? else { return Ok(None) };
        content.reserve_exact(usize::try_from(bytes).unwrap_or(0).saturating_sub(content.len()));
        loop {
            let offset = i64::try_from(content.len()).unwrap_or(i64::MAX);
            if offset >= bytes {
                return Ok(Some(content.into()));
            }
            let Some(chunk) = self.item_bytes(owner, id, offset).await? else { return Ok(None) };
            content.extend_from_slice(&chunk);
        }
    }

    /// The size of an item and its first chunk, for most are no larger.
    async fn item_begin(&self, owner: OwnerId, id: Uuid) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        let db = self.chunks().await?;
        let select = db
            .prepare_cached(
                "SELECT i.bytes, c.data FROM item i LEFT JOIN item_chunk c ON c.item_id = i.id AND c.seq = 0
                 WHERE i.id = $1 AND i.owner_id = $2 AND (i.sha256 IS NOT NULL) IS TRUE",
            )
            .await?;
        let Some(row) = db.query_opt(&select, &[&id, &owner.0]).await? else { return Ok(None) };
        Ok(Some((row.try_get(0)?, row.try_get::<_, Option<Vec<u8>>>(1)?.unwrap_or_default())))
    }

    /// Removes up to `limit` uploads that began over five minutes ago and were not finished: no upload may take that long.
    pub async fn sweep_uploads(&self, limit: i64) -> Result<u64, StoreError> {
        let db = self.connection().await?;
        let delete = db
            .prepare_cached(
                "DELETE FROM item WHERE (sha256 IS NULL) IS TRUE AND id = ANY(ARRAY(
                    SELECT id FROM item WHERE sha256 IS NULL AND created_at < now() - interval '5 minutes' LIMIT $1))",
            )
            .await?;
        Ok(db.execute(&delete, &[&limit]).await?)
    }
}

fn read(row: &Row) -> Result<Item, StoreError> {
    Ok(Item {
        id: row.try_get(0)?,
        content_type: row.try_get(1)?,
        bytes: row.try_get(2)?,
        sha256: row.try_get(3)?,
        task_id: row.try_get(4)?,
        created_at: row.try_get(5)?,
    })
}

/// How much of an upload is in the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Nothing,
    Part,
    All,
}

/// An upload under way. One that is dropped before its end is removed at once, as far as that is possible; the sweep removes
/// the rest.
pub struct Upload {
    store: Store,
    id: Uuid,
    owner: OwnerId,
    content_type: String,
    digest: Sha256,
    bytes: i64,
    chunks: i32,
    stored: Stored,
    /// The statement under way, which goes on when the upload is dropped.
    writing: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Upload {
    /// Stores the next [`CHUNK_BYTES`] of the content, which must be that many. Dropped in the middle, the upload cannot go
    /// on.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let seq = self.take_in(&chunk);
        let (store, id) = (self.store.clone(), self.id);
        let writing = if self.stored == Stored::Nothing {
            self.stored = Stored::Part; // from now on there may be something to remove
            let (owner, content_type) = (self.owner, self.content_type.clone());
            tokio::spawn(async move { begin(&store, (id, owner), &content_type, &chunk).await })
        } else {
            tokio::spawn(async move { go_on(&store, id, seq, &chunk).await })
        };
        let written = self.writing.insert(writing).await;
        self.writing = None;
        written.map_err(|error| StoreError::Unavailable(error.to_string().into()))?
    }

    /// Stores the rest of the content, less than [`CHUNK_BYTES`] and perhaps nothing, and makes the item visible: from
    /// then on it is safe. Dropped in the middle, it may be visible or not.
    pub async fn finish(mut self, rest: Bytes) -> Result<Item, StoreError> {
        let seq = self.take_in(&rest);
        let sha256 = self.digest.clone().finalize().to_vec();
        let db = self.store.connection().await?;
        let row = if self.stored == Stored::Nothing {
            let insert = db.prepare_cached(WHOLE).await?;
            let whole: [&(dyn ToSql + Sync); 7] =
                [&self.id, &self.owner.0, &self.content_type, &self.bytes, &sha256, &None::<Uuid>, &&*rest];
            db.query_opt(&insert, &whole).await?
        } else {
            let update = db
                .prepare_cached(
                    "WITH whole AS (
                        UPDATE item SET bytes = $2, sha256 = $3, created_at = now()
                        WHERE id = $1 AND (sha256 IS NULL) IS TRUE
                            AND ((SELECT count(*) FROM item_chunk WHERE item_id = $1) = $4::integer) IS TRUE
                        RETURNING id, owner_id, created_at
                     ), rest AS (
                        INSERT INTO item_chunk (item_id, owner_id, seq, data)
                        SELECT id, owner_id, $4::integer, $5::bytea FROM whole WHERE octet_length($5::bytea) > 0
                     )
                     SELECT created_at FROM whole",
                )
                .await?;
            db.query_opt(&update, &[&self.id, &self.bytes, &sha256, &seq, &&*rest]).await?
        };
        let created_at = row.ok_or_else(lost)?.try_get(0)?;
        self.stored = Stored::All;
        let content_type = std::mem::take(&mut self.content_type);
        Ok(Item { id: self.id, content_type, bytes: self.bytes, sha256, task_id: None, created_at })
    }

    /// Counts and hashes a piece of the content; its number.
    fn take_in(&mut self, chunk: &Bytes) -> i32 {
        self.digest.update(chunk);
        self.bytes += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        let seq = self.chunks;
        self.chunks += 1;
        seq
    }
}

async fn begin(
    store: &Store,
    (id, owner): (Uuid, OwnerId),
    content_type: &str,
    chunk: &[u8],
) -> Result<(), StoreError> {
    let db = store.chunks().await?;
    let insert = db
        .prepare_cached(
            "WITH begun AS (INSERT INTO item (id, owner_id, content_type) VALUES ($1, $2, $3))
             INSERT INTO item_chunk (item_id, owner_id, seq, data) VALUES ($1, $2, 0, $4)",
        )
        .await?;
    db.execute(&insert, &[&id, &owner.0, &content_type, &chunk]).await?;
    Ok(())
}

async fn go_on(store: &Store, id: Uuid, seq: i32, chunk: &[u8]) -> Result<(), StoreError> {
    let db = store.chunks().await?;
    let insert = db
        .prepare_cached(
            "INSERT INTO item_chunk (item_id, owner_id, seq, data)
             SELECT id, owner_id, $2::integer, $3::bytea FROM item
             WHERE id = $1 AND (sha256 IS NULL) IS TRUE FOR KEY SHARE",
        )
        .await?;
    if db.execute(&insert, &[&id, &seq, &chunk]).await? == 1 { Ok(()) } else { Err(lost()) }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.stored != Stored::Part {
            return;
        }
        let (store, id, writing) = (self.store.clone(), self.id, self.writing.take());
        let remove = async move {
            // or it would come after the removal, and stay
            if let Some(writing) = writing {
                let _ = writing.await;
            }
            let unfinished = "DELETE FROM item WHERE id = $1 AND (sha256 IS NULL) IS TRUE";
            let removed = async { Ok::<_, StoreError>(store.connection().await?.execute(unfinished, &[&id]).await?) };
            if let Err(error) = removed.await {
                tracing::debug!(item.id = %id, %error, "an unfinished upload is left to the sweep");
            }
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(remove);
        }
    }
}

/// Chunks that were written are no longer there: the upload was swept, or the database has crashed and lost them.
fn lost() -> StoreError {
    StoreError::Unavailable("an unfinished upload was removed".into())
}
