//! Broker messages that mean nothing to us: kept for people to look at, so that they neither vanish nor loop.

use super::{Store, StoreError};

/// What is kept of a body.
const BODY_BYTES_MAX: usize = 4096;

impl Store {
    /// Puts a message aside. Only then may its delivery be settled.
    pub async fn quarantine(&self, queue: &str, reason: &str, body: &[u8]) -> Result<(), StoreError> {
        let body = body.get(..BODY_BYTES_MAX).unwrap_or(body);
        let db = self.connection().await?;
        db.execute("INSERT INTO quarantine (queue, reason, body) VALUES ($1, $2, $3)", &[&queue, &reason, &body])
            .await?;
        Ok(())
    }
}
