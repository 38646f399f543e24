//! Broker messages that mean nothing to us: kept for people to look at, so that they neither vanish nor loop. Only the newest
//! ones: whoever reaches the broker can send any number.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};

/// What is kept of a body.
const BODY_BYTES_MAX: usize = 4096;

/// Keeps the newest 10,000, about 40 MB at most. Ids rise by one, so the oldest are those far below the new one.
const PUT: &str = "
    WITH put AS (INSERT INTO quarantine (queue, reason, body) VALUES ($1, $2, $3) RETURNING id)
    DELETE FROM quarantine q USING put p WHERE q.id <= p.id - 10000";

/// A message that was put aside, as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = QuarantinedMessage)]
pub struct QuarantineView {
    /// Rises with time.
    pub id: i64,
    /// The broker queue it came from.
    pub queue: String,
    /// What was wrong with it.
    pub reason: String,
    /// Its first 4 KiB, in hexadecimal.
    pub body_hex: String,
    /// When.
    pub seen_at: Timestamp,
}

impl Store {
    /// What was put aside before `before`, the newest first.
    pub async fn show_quarantine(&self, before: i64, limit: i64) -> Result<Vec<QuarantineView>, StoreError> {
        let db = self.connection().await?;
        let show = db
            .prepare_cached(
                "SELECT id, queue, reason, encode(body, 'hex'), seen_at FROM quarantine WHERE id < $1
                 ORDER BY id DESC LIMIT $2",
            )
            .await?;
        let rows = db.query(&show, &[&before, &limit]).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(QuarantineView {
                id: row.try_get(0)?,
                queue: row.try_get(1)?,
                reason: row.try_get(2)?,
                body_hex: row.try_get(3)?,
                seen_at: row.try_get(4)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts a message aside, and drops the oldest beyond the bound. Only then may its delivery be settled.
    pub async fn quarantine(&self, queue: &str, reason: &str, body: &[u8]) -> Result<(), StoreError> {
        let body = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        let db = self.connection().await?;
        let put = db.prepare_cached(PUT).await?;
        db.execute(&put, &[&queue, &reason, &body]).await?;
        Ok(())
    }
}
