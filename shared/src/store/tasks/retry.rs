//! Retry: a task that has ended is not touched again; another one like it, which points back, takes its way. Its
//! arguments never leave the database (`guarded/repeats.rs`).

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    ids::Ids,
    store::{Store, StoreError},
    task::{Extra, OwnerId, Priority, Start, State, TaskId, TaskSpec},
};

const SEE: &str = "
    SELECT id, state::text, name, version, queue, priority, max_attempts, retry::text, timeout_ms, traceparent,
        soft_timeout_ms, result_ttl, drop_result, tags, metadata, parent_id,
        workflow_id
    FROM task WHERE id = ANY($1) AND (owner_id = $2) IS TRUE";

/// A task that somebody wants to run again.
#[derive(Debug)]
pub enum Retriable {
    /// It has ended; this is its like, ready to be accepted.
    Ended(Box<TaskSpec>),
    /// It has not.
    NotYet(State),
    /// It is a node: its arguments may refer to others, and others may wait for it. The workflow can be retried.
    Node(Uuid),
}

impl Store {
    /// The likes of these tasks, by their ids; those of others, and those that are no more, are left out. A start
    /// delay, an expiry and a unique key belonged to the first run and are not repeated. Each like has a new id.
    pub async fn retriable(
        &self,
        owner: OwnerId,
        ids: &[TaskId],
        new: &Ids,
    ) -> Result<Vec<(TaskId, Retriable)>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let db = self.connection().await?;
        let see = db.prepare_cached(SEE).await?;
        db.query(&see, &[&ids, &owner.0]).await?.iter().map(|row| read(owner, row, new)).collect()
    }
}

fn read(owner: OwnerId, row: &Row, new: &Ids) -> Result<(TaskId, Retriable), StoreError> {
    let bad = |what: &dyn std::fmt::Display| StoreError::Data(what.to_string());
    let id = TaskId(row.try_get("id")?);
    let state: State = row.try_get::<_, &str>("state")?.parse().map_err(|_| bad(&"state"))?;
    if !state.is_terminal() {
        return Ok((id, Retriable::NotYet(state)));
    }
    if let Some(workflow) = row.try_get("workflow_id")? {
        return Ok((id, Retriable::Node(workflow)));
    }
    let limit = |column: &str| -> Result<Option<std::time::Duration>, StoreError> {
        let ms: Option<i64> = row.try_get(column)?;
        Ok(ms.and_then(|ms| u64::try_from(ms).ok()).map(std::time::Duration::from_millis))
    };
    let retry: Option<&str> = row.try_get("retry")?;
    let metadata: Option<String> = row.try_get("metadata")?;
    let spec = TaskSpec {
        id: new.make_task(),
        owner,
        name: row.try_get::<_, &str>("name")?.parse().map_err(|error| bad(&error))?,
        version: row.try_get("version")?,
        queue: row.try_get::<_, &str>("queue")?.parse().map_err(|error| bad(&error))?,
        priority: Priority::new(row.try_get::<_, i16>("priority")?.into()).map_err(|error| bad(&error))?,
        input: Bytes::new(),
        max_attempts: row.try_get("max_attempts")?,
        retry: retry.map(serde_json::from_str).transpose().map_err(|error| bad(&error))?.unwrap_or_default(),
        timeout: limit("timeout_ms")?,
        start: Start::Now,
        traceparent: row.try_get("traceparent")?,
        extra: Extra {
            soft_timeout: limit("soft_timeout_ms")?.map(|limit| limit.as_secs_f64()),
            result_ttl: row.try_get("result_ttl")?,
            drop_result: row.try_get("drop_result")?,
            tags: row.try_get("tags")?,
            metadata: metadata.map(RawValue::from_string).transpose().map_err(|error| bad(&error))?,
            parent_id: row.try_get("parent_id")?,
            retry_of: Some(id.0),
            ..Extra::default()
        },
    };
    Ok((id, Retriable::Ended(Box::new(spec))))
}
