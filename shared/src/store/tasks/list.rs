//! Lists: the newest tasks that match, page by page. `list/search.rs` finds their ids.

mod search;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::{OwnerId, State, TaskError, TaskId},
};

/// What to search by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Search {
    /// Any combination; what is empty matches all.
    Parts {
        /// In one of these states.
        states: Vec<State>,
        /// In this queue.
        queue: Option<String>,
        /// Of this handler.
        name: Option<String>,
        /// Failed with this code.
        error_code: Option<String>,
    },
    /// With this tag.
    Tag(String),
    /// Of this batch.
    Batch(Uuid),
}

/// A page of a search: ids from `from` up to, and without, `before`; the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sought {
    /// Whose.
    pub owner: OwnerId,
    /// By what.
    pub search: Search,
    /// The oldest id wanted.
    pub from: Uuid,
    /// Where the last page ended.
    pub before: Uuid,
    /// Leaves out what was retried already.
    pub unretried: bool,
    /// Rows at most.
    pub limit: i64,
}

/// A task in a list: what tells it from others. Its whole document is at its own address.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TaskLine)]
pub struct TaskLine {
    /// UUID version 7.
    pub id: TaskId,
    /// Which handler.
    pub name: String,
    /// Where it queues.
    pub queue: String,
    /// 0–9.
    pub priority: i16,
    /// Where it stands.
    pub state: State,
    /// Why it waits, where something is known.
    pub waiting_reason: Option<String>,
    /// The current attempt, or the last one; 0 before the first.
    pub attempt: i32,
    /// Attempts in all.
    pub max_attempts: i32,
    /// Accepted.
    pub created_at: Timestamp,
    /// Not before; only while it is scheduled.
    pub run_at: Option<Timestamp>,
    /// The last attempt began.
    pub started_at: Option<Timestamp>,
    /// Terminal since.
    pub finished_at: Option<Timestamp>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// Of the last attempt that had one.
    #[schema(value_type = Option<TaskError>)]
    pub error: Option<Box<RawValue>>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The batch it came in.
    pub batch_id: Option<Uuid>,
    /// The task that it repeats.
    pub retry_of: Option<Uuid>,
}

const LINES: &str = "
    SELECT t.id, t.name, t.queue, t.priority, t.state::text, t.waiting_reason, t.attempt, t.max_attempts, t.created_at,
        CASE WHEN t.state = 'scheduled' THEN greatest(t.due_at, t.run_at) END AS run_at, t.started_at, t.finished_at, t.worker,
        t.error, t.tags, t.batch_id, t.retry_of
    FROM unnest($1::uuid[]) AS page(id) JOIN task t ON t.id = page.id ORDER BY t.id DESC";

/// A page of what was sought, the newest first.
#[derive(Debug)]
pub struct Found<T> {
    /// As many as were wanted; fewer at the end, or where much had to be read that does not match.
    pub tasks: Vec<T>,
    /// Where the search goes on: the `before` of the next page. `None` at its end.
    pub next: Option<Uuid>,
}

impl Store {
    /// One page. Reads ten thousand rows at most, and answers with what it found in them.
    pub async fn list_tasks(&self, sought: &Sought) -> Result<Found<TaskLine>, StoreError> {
        let found = self.find_tasks(sought).await?;
        let ids: Vec<Uuid> = found.tasks.iter().map(|id| id.0).collect();
        let db = self.connection().await?;
        let lines = db.query(&db.prepare_cached(LINES).await?, &[&ids]).await?;
        Ok(Found { tasks: lines.iter().map(read).collect::<Result<_, _>>()?, next: found.next })
    }
}

fn read(row: &Row) -> Result<TaskLine, StoreError> {
    let state: &str = row.try_get("state")?;
    let error: Option<&[u8]> = row.try_get("error")?;
    Ok(TaskLine {
        id: TaskId(row.try_get("id")?),
        name: row.try_get("name")?,
        queue: row.try_get("queue")?,
        priority: row.try_get("priority")?,
        state: state.parse().map_err(|_| StoreError::Data(format!("state {state:?}")))?,
        waiting_reason: row.try_get("waiting_reason")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        created_at: row.try_get("created_at")?,
        run_at: row.try_get("run_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        worker: row.try_get("worker")?,
        error: error
            .map(serde_json::from_slice)
            .transpose()
            .map_err(|_| StoreError::Data("error is not JSON".into()))?,
        tags: row.try_get("tags")?,
        batch_id: row.try_get("batch_id")?,
        retry_of: row.try_get("retry_of")?,
    })
}
