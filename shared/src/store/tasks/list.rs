//! Lists: the newest tasks that match, page by page.
//!
//! Invariant: every search reads an index from where the last page ended, and what it reads is bounded by the page (and by
//! the few combinations of state, queue, name and error code that exist), never by the table.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::{Row, types::ToSql};
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

const LINE: &str = "t.id, t.name, t.queue, t.priority, t.state::text, t.waiting_reason, t.attempt, t.max_attempts,
        t.created_at, CASE WHEN t.state = 'scheduled' THEN greatest(t.due_at, t.run_at) END AS run_at, t.started_at, t.finished_at, t.worker,
        t.error, t.tags, t.batch_id, t.retry_of";

const RETRIED: &str = "EXISTS (SELECT FROM task r WHERE r.retry_of = t.id)";

/// Which combinations exist is read along the index, one probe each; then the newest of every one that matches. With many
/// combinations a page of each would be much to read for one page: so first a few of each, which together are a page if there
/// is one, and then only what is not older than the last of that. What runs stands on the shelf of what is queued, and is
/// found by the holds.
const BY_PARTS: &str = "
    WITH RECURSIVE part(state, queue, class, name, code) AS (
        SELECT s.state, q.name, c.class, f.name, f.error_code
        FROM unnest($5::text[]::task_state[]) AS s(state)
        CROSS JOIN (SELECT DISTINCT name FROM queue WHERE $6::text IS NULL OR name = $6) q
        CROSS JOIN (VALUES (0::int2), (1::int2), (2::int2)) c(class)
        CROSS JOIN LATERAL (SELECT t.name, t.error_code FROM task t
            WHERE t.shelf = s.state AND t.queue = q.name AND t.class = c.class AND t.owner_id = $1
            ORDER BY t.name, t.error_code LIMIT 1) f
        WHERE s.state <> 'running'
      UNION ALL
        SELECT p.state, p.queue, p.class, f.name, f.error_code FROM part p
        CROSS JOIN LATERAL (SELECT t.name, t.error_code FROM task t
            WHERE t.shelf = p.state AND t.queue = p.queue AND t.class = p.class AND t.owner_id = $1
                AND (t.name, t.error_code) > (p.name, p.code)
            ORDER BY t.name, t.error_code LIMIT 1) f
    ), parts AS MATERIALIZED (
        SELECT * FROM part p WHERE ($7::text IS NULL OR p.name = $7) AND ($8::text IS NULL OR p.code = $8)
    ), head AS MATERIALIZED (
        SELECT f.id FROM parts p CROSS JOIN LATERAL (
            {newest} AND uuid_send(t.id) >= uuid_send($3)
            ORDER BY uuid_send(t.id) DESC LIMIT least($4, $4 / (SELECT count(*) FROM parts) + 1)) f
    ), floor AS MATERIALIZED (
        SELECT coalesce((SELECT id FROM head ORDER BY id DESC OFFSET $4 - 1 LIMIT 1), $3) AS id
    ), lying AS (
        SELECT f.id FROM parts p CROSS JOIN LATERAL (
            {newest} AND uuid_send(t.id) >= (SELECT uuid_send(id) FROM floor)
            ORDER BY uuid_send(t.id) DESC LIMIT $4) f
    ), running AS (
        SELECT DISTINCT t.id FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
        JOIN task t ON t.id = i.id AND (t.state = 'running' AND t.session_id = h.session_id AND t.owner_id = $1
            AND ($6::text IS NULL OR t.queue = $6) AND ($7::text IS NULL OR t.name = $7)
            AND ($8::text IS NULL OR t.error_code = $8)) IS TRUE
        WHERE 'running' = ANY($5) AND i.id < $2 AND i.id >= $3
    )
    SELECT id FROM (SELECT id FROM lying UNION ALL SELECT id FROM running) f ORDER BY id DESC LIMIT $4";

/// The tasks of one combination.
const NEWEST: &str = "SELECT t.id FROM task t
            WHERE t.shelf = p.state AND t.queue = p.queue AND t.class = p.class AND t.owner_id = $1 AND t.name = p.name
                AND t.error_code = p.code AND uuid_send(t.id) < uuid_send($2) AND (t.state = p.state) IS TRUE AND {unretried}";

const BY_TAG: &str = "
    SELECT g.task_id AS id FROM task_tag g
    WHERE g.owner_id = $1 AND g.tag = $5 AND g.task_id < $2 AND g.task_id >= $3
    ORDER BY g.task_id DESC LIMIT $4";

const BY_BATCH: &str = "
    SELECT t.id FROM task t
    WHERE t.owner_id = $1 AND t.batch_id = $5 AND t.id < $2 AND t.id >= $3
    ORDER BY t.id DESC LIMIT $4";

impl Store {
    /// One page.
    pub async fn list_tasks(&self, sought: &Sought) -> Result<Vec<TaskLine>, StoreError> {
        let lines =
            |page: &str| format!("SELECT {LINE} FROM ({page}) page JOIN task t ON t.id = page.id ORDER BY t.id DESC");
        self.search(sought, lines).await?.iter().map(read).collect()
    }

    /// The ids of one page.
    pub async fn find_tasks(&self, sought: &Sought) -> Result<Vec<TaskId>, StoreError> {
        let ids = |page: &str| format!("SELECT page.id FROM ({page}) page ORDER BY page.id DESC");
        let rows = self.search(sought, ids).await?;
        rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
    }

    async fn search(&self, sought: &Sought, select: impl FnOnce(&str) -> String) -> Result<Vec<Row>, StoreError> {
        let db = self.connection().await?;
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&sought.owner.0, &sought.before, &sought.from, &sought.limit];
        let states: Vec<&str>;
        let by = match &sought.search {
            Search::Tag(tag) => {
                parameters.push(tag);
                BY_TAG.to_owned()
            }
            Search::Batch(batch) => {
                parameters.push(batch);
                BY_BATCH.to_owned()
            }
            Search::Parts { states: wanted, queue, name, error_code } => {
                let all = if wanted.is_empty() { &State::ALL[..] } else { wanted };
                states = all.iter().map(|state| state.as_str()).collect();
                let rest: [&(dyn ToSql + Sync); 4] = [&states, queue, name, error_code];
                parameters.extend(rest);
                let unretried = if sought.unretried { format!("NOT {RETRIED}") } else { "true".into() };
                BY_PARTS.replace("{newest}", NEWEST).replace("{unretried}", &unretried)
            }
        };
        let list = db.prepare_cached(&select(&by)).await?;
        Ok(db.query(&list, &parameters).await?)
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
