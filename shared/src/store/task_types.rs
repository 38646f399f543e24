//! What workers can run. Upserted at session start, never forgotten by itself: so the API knows the handlers of users'
//! own workers, and answers `unknown_task` for the rest.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::Row;

use super::{Store, StoreError};
use crate::task::{OwnerId, QueueName, TaskName};

/// A handler as its worker announced it.
#[derive(Clone, Debug, Serialize)]
pub struct TaskType {
    /// Its name.
    pub name: TaskName,
    /// Its version.
    pub version: i32,
    /// Parameter names, in the order positional arguments bind.
    pub parameters: Vec<String>,
    /// Where its tasks queue unless they say otherwise.
    pub queue: QueueName,
    /// The hard time limit unless they say otherwise.
    pub timeout: Option<Duration>,
    /// Whether it burns CPU.
    pub cpu: bool,
}

impl Store {
    /// Announces handlers, and makes sure that their queues and `queues` exist. All workers go through the types in one order, so
    /// that those which start together never wait for each other in a circle.
    pub async fn announce(&self, types: &[TaskType], queues: &[QueueName]) -> Result<(), StoreError> {
        let mut types: Vec<&TaskType> = types.iter().collect();
        types.sort_unstable_by_key(|task_type| &task_type.name);
        let mut db = self.connection().await?;
        let transaction = db.transaction().await?;
        for task_type in &types {
            transaction
                .execute(
                    "INSERT INTO task_type (owner_id, name, version, parameters, queue, timeout_ms, cpu)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (owner_id, name) DO UPDATE SET version = excluded.version,
                         parameters = excluded.parameters, queue = excluded.queue, timeout_ms = excluded.timeout_ms,
                         cpu = excluded.cpu, updated_at = now()
                     WHERE task_type.version <= excluded.version",
                    &[
                        &OwnerId::LOCAL.0,
                        &task_type.name.as_str(),
                        &task_type.version,
                        &task_type.parameters,
                        &task_type.queue.as_str(),
                        &task_type.timeout.map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)),
                        &task_type.cpu,
                    ],
                )
                .await?;
        }
        let mut names: Vec<&str> = types.iter().map(|task_type| task_type.queue.as_str()).collect();
        names.extend(queues.iter().map(QueueName::as_str));
        names.sort_unstable();
        names.dedup();
        transaction
            .execute(
                "INSERT INTO queue (owner_id, name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
                &[&OwnerId::LOCAL.0, &names],
            )
            .await?;
        Ok(transaction.commit().await?)
    }

    /// One handler, if it was ever announced.
    pub async fn task_type(&self, name: &TaskName) -> Result<Option<TaskType>, StoreError> {
        let db = self.connection().await?;
        let query = db
            .prepare_cached(
                "SELECT name, version, parameters, queue, timeout_ms, cpu FROM task_type WHERE owner_id = $1 AND name = $2",
            )
            .await?;
        db.query_opt(&query, &[&OwnerId::LOCAL.0, &name.as_str()]).await?.as_ref().map(read).transpose()
    }

    /// Every handler that was ever announced.
    pub async fn task_types(&self) -> Result<Vec<TaskType>, StoreError> {
        let db = self.connection().await?;
        let query = db
            .prepare_cached("SELECT name, version, parameters, queue, timeout_ms, cpu FROM task_type ORDER BY name")
            .await?;
        db.query(&query, &[]).await?.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<TaskType, StoreError> {
    let name: &str = row.try_get("name")?;
    let queue: &str = row.try_get("queue")?;
    let timeout_ms: Option<i64> = row.try_get("timeout_ms")?;
    Ok(TaskType {
        name: name.parse().map_err(|_| StoreError::Data(format!("task name {name:?}")))?,
        version: row.try_get("version")?,
        parameters: row.try_get("parameters")?,
        queue: queue.parse().map_err(|_| StoreError::Data(format!("queue name {queue:?}")))?,
        timeout: timeout_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        cpu: row.try_get("cpu")?,
    })
}
