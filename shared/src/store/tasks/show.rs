//! Reading a task: its document, its attempts, its result.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::{OwnerId, State, TaskError, TaskId, TaskSpec},
};

use super::Accepted;

const SHOW: &str = "
    SELECT id, name, version, queue, priority, state::text, epoch, attempt, max_attempts, waiting_reason, created_at,
        CASE WHEN state = 'scheduled' THEN greatest(due_at, run_at) END AS run_at, queued_at, started_at, finished_at, expires_at,
        cancel_requested_at, timeout_ms, worker, progress, error, result, root_id, parent_id, batch_id, retry_of,
        traceparent, soft_timeout_ms, result_ttl, drop_result, tags,
        metadata, workflow_id,
        (SELECT n.key FROM workflow_node n WHERE n.workflow_id = task.workflow_id AND n.node = task.node) AS node_key
    FROM task WHERE id = $1 AND (owner_id = $2) IS TRUE";

const ATTEMPTS: &str = "
    SELECT a.epoch, a.attempt, a.outcome::text, a.times, a.error, a.worker, a.started_at, a.ended_at
    FROM attempt a WHERE a.task_id = $1 AND a.owner_id = $2 ORDER BY a.epoch DESC LIMIT $3";

/// A task may be interrupted by any number of deploys; what is told of it has an end.
const ATTEMPTS_MAX: i64 = 1000;

/// A task: everything about it. Every field is always there; what is not known is null.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Task)]
pub struct TaskView {
    /// UUID version 7.
    pub id: TaskId,
    /// Which handler.
    pub name: String,
    /// Its version when the task was accepted.
    pub version: i32,
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
    /// Entered the queue (the last time).
    pub queued_at: Option<Timestamp>,
    /// The last attempt began.
    pub started_at: Option<Timestamp>,
    /// Terminal since.
    pub finished_at: Option<Timestamp>,
    /// Not started after.
    pub expires_at: Option<Timestamp>,
    /// Cancellation was asked for.
    pub cancel_requested_at: Option<Timestamp>,
    /// The hard time limit of an attempt, seconds.
    pub timeout: Option<f64>,
    /// When an attempt is asked to end, seconds.
    pub soft_timeout: Option<f64>,
    /// How long the finished task is kept, seconds; by its state where nothing was said.
    pub result_ttl: Option<f64>,
    /// Whether the result is kept.
    pub store_result: bool,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whatever the client keeps beside it.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// What the handler last said of its progress.
    #[schema(value_type = Option<Value>)]
    pub progress: Option<Box<RawValue>>,
    /// What it returned, when succeeded.
    #[schema(value_type = Option<Value>)]
    pub result: Option<Box<RawValue>>,
    /// Of the last attempt that had one.
    #[schema(value_type = Option<TaskError>)]
    pub error: Option<Box<RawValue>>,
    /// The first task of its line.
    pub root_id: Option<Uuid>,
    /// The task that submitted it.
    pub parent_id: Option<Uuid>,
    /// The batch it came in.
    pub batch_id: Option<Uuid>,
    /// The task that it repeats.
    pub retry_of: Option<Uuid>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The workflow of which it is a node.
    #[serde(default)]
    pub workflow_id: Option<Uuid>,
    /// The node's key.
    #[serde(default)]
    pub node_key: Option<String>,
}

impl TaskView {
    /// A task right after its acceptance, without asking the database again.
    pub fn accepted(spec: &TaskSpec, accepted: Accepted) -> Self {
        let extra = &spec.extra;
        Self {
            id: spec.id,
            name: spec.name.to_string(),
            version: spec.version,
            queue: spec.queue.to_string(),
            priority: spec.priority.get().into(),
            state: accepted.state,
            waiting_reason: extra.waits_for.map(Into::into),
            attempt: i32::from(accepted.state == State::Running),
            max_attempts: spec.max_attempts,
            created_at: accepted.created_at,
            run_at: accepted.run_at,
            queued_at: matches!(accepted.state, State::Queued | State::Running).then_some(accepted.created_at),
            started_at: (accepted.state == State::Running).then_some(accepted.created_at),
            finished_at: None,
            expires_at: extra.expires_at,
            cancel_requested_at: None,
            timeout: spec.timeout.map(|timeout| timeout.as_secs_f64()),
            soft_timeout: extra.soft_timeout,
            result_ttl: extra.result_ttl,
            store_result: !extra.drop_result,
            tags: extra.tags.clone(),
            metadata: extra.metadata.clone(),
            worker: None,
            progress: None,
            result: None,
            error: None,
            root_id: Some(accepted.root_id),
            parent_id: extra.parent_id,
            batch_id: extra.batch_id,
            retry_of: extra.retry_of,
            traceparent: spec.traceparent.clone(),
            workflow_id: extra.workflow_id,
            node_key: None,
        }
    }
}

/// One attempt as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView {
    /// The claim it was; unique within the task.
    pub epoch: i32,
    /// Its number as the budget counts.
    pub attempt: i32,
    /// How it ended; `running` while it has not.
    #[schema(pattern = "^(running|succeeded|failed|timed_out|cancelled|lost|interrupted|snoozed)$")]
    pub outcome: String,
    /// How many it stands for: snoozes that follow each other are one entry, from the start of the first to the end of the last.
    pub times: i32,
    /// Its error, if it had one.
    #[schema(value_type = Option<TaskError>)]
    pub error: Option<Box<RawValue>>,
    /// Who ran it.
    pub worker: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Store {
    /// A task of this owner; another's does not exist.
    pub async fn show_task(&self, owner: OwnerId, id: TaskId) -> Result<Option<TaskView>, StoreError> {
        let db = self.connection().await?;
        let show = db.prepare_cached(SHOW).await?;
        db.query_opt(&show, &[&id.0, &owner.0]).await?.as_ref().map(read).transpose()
    }

    /// Which of these, tasks and workflows, have ended. For those who wait for many.
    pub async fn ended_among(&self, ids: &[TaskId]) -> Result<Vec<TaskId>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let db = self.lookup().await?;
        let query = db
            .prepare_cached(
                "SELECT t.id FROM unnest($1::uuid[]) AS w(id) JOIN task_run t ON t.id = w.id
                 WHERE (t.state IN ('succeeded', 'failed', 'cancelled', 'expired')) IS TRUE
                 UNION ALL SELECT f.id FROM unnest($1::uuid[]) AS w(id) JOIN workflow f ON f.id = w.id
                 WHERE (f.finished_at IS NOT NULL) IS TRUE",
            )
            .await?;
        let rows = db.query(&query, &[&ids]).await?;
        rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
    }

    /// Whether there is such a task of this owner.
    pub async fn task_exists(&self, owner: OwnerId, id: TaskId) -> Result<bool, StoreError> {
        let db = self.connection().await?;
        let query = db.prepare_cached("SELECT FROM task_spec WHERE id = $1 AND (owner_id = $2) IS TRUE").await?;
        Ok(db.query_opt(&query, &[&id.0, &owner.0]).await?.is_some())
    }

    /// Its last attempts, the first of them first. The very last one is told from the task's own row.
    pub async fn show_attempts(&self, owner: OwnerId, id: TaskId) -> Result<Option<Vec<AttemptView>>, StoreError> {
        let db = self.connection().await?;
        let (show, attempts) = (db.prepare_cached(SHOW).await?, db.prepare_cached(ATTEMPTS).await?);
        let Some(row) = db.query_opt(&show, &[&id.0, &owner.0]).await? else { return Ok(None) };
        let epoch: i32 = row.try_get("epoch")?;
        let task = read(&row)?;
        let last = last_attempt(&task, epoch);
        let rest = if last.is_some() { ATTEMPTS_MAX - 1 } else { ATTEMPTS_MAX };
        let earlier = db.query(&attempts, &[&id.0, &owner.0, &rest]).await?;
        let mut views = earlier.iter().rev().map(read_attempt).collect::<Result<Vec<_>, _>>()?;
        views.extend(last.filter(|last| views.iter().all(|view| view.epoch != last.epoch)));
        Ok(Some(views))
    }
}

fn last_attempt(task: &TaskView, epoch: i32) -> Option<AttemptView> {
    let outcome = match task.state {
        State::Running => "running",
        State::Succeeded => "succeeded",
        State::Cancelled => "cancelled",
        State::Failed => "failed",
        State::Scheduled | State::Waiting | State::Queued | State::Expired => return None,
    };
    // cancelled before its first claim: there was no attempt
    (epoch > 0).then(|| AttemptView {
        epoch,
        attempt: task.attempt,
        outcome: failed_how(task).unwrap_or(outcome).into(),
        times: 1,
        error: task.error.clone(),
        worker: task.worker.clone(),
        started_at: task.started_at,
        ended_at: task.finished_at,
    })
}

/// A failed task's last attempt may have been lost or timed out: its error's code tells.
fn failed_how(task: &TaskView) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Code<'a> {
        #[serde(borrow)]
        code: std::borrow::Cow<'a, str>,
    }
    let error = task.error.as_ref().filter(|_| task.state == State::Failed)?;
    match serde_json::from_str::<Code>(error.get()).ok()?.code.as_ref() {
        "poison" | "worker_lost" => Some("lost"),
        "timed_out" => Some("timed_out"),
        _ => None,
    }
}

fn state(row: &Row, index: usize) -> Result<State, StoreError> {
    let word: &str = row.try_get(index)?;
    word.parse().map_err(|_| StoreError::Data(format!("state {word:?}")))
}

fn raw(row: &Row, column: &str) -> Result<Option<Box<RawValue>>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let parse = |bytes| serde_json::from_slice(bytes).map_err(|_| StoreError::Data(format!("{column} is not JSON")));
    bytes.map(parse).transpose()
}

fn seconds(row: &Row, column: &str) -> Result<Option<f64>, StoreError> {
    let ms: Option<i64> = row.try_get(column)?;
    Ok(ms.and_then(|ms| u64::try_from(ms).ok()).map(|ms| std::time::Duration::from_millis(ms).as_secs_f64()))
}

fn read_attempt(row: &Row) -> Result<AttemptView, StoreError> {
    Ok(AttemptView {
        epoch: row.try_get("epoch")?,
        attempt: row.try_get("attempt")?,
        outcome: row.try_get("outcome")?,
        times: row.try_get("times")?,
        error: raw(row, "error")?,
        worker: row.try_get("worker")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

fn read(row: &Row) -> Result<TaskView, StoreError> {
    let progress: Option<String> = row.try_get("progress")?;
    let metadata: Option<String> = row.try_get("metadata")?;
    Ok(TaskView {
        id: TaskId(row.try_get("id")?),
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        queue: row.try_get("queue")?,
        priority: row.try_get("priority")?,
        state: state(row, 5)?,
        waiting_reason: row.try_get("waiting_reason")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        created_at: row.try_get("created_at")?,
        run_at: row.try_get("run_at")?,
        queued_at: row.try_get("queued_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        expires_at: row.try_get("expires_at")?,
        cancel_requested_at: row.try_get("cancel_requested_at")?,
        timeout: seconds(row, "timeout_ms")?,
        soft_timeout: seconds(row, "soft_timeout_ms")?,
        result_ttl: row.try_get("result_ttl")?,
        store_result: !row.try_get::<_, bool>("drop_result")?,
        tags: row.try_get("tags")?,
        metadata: metadata.and_then(|text| RawValue::from_string(text).ok()),
        worker: row.try_get("worker")?,
        progress: progress.and_then(|text| RawValue::from_string(text).ok()),
        result: raw(row, "result")?,
        error: raw(row, "error")?,
        root_id: row.try_get("root_id")?,
        parent_id: row.try_get("parent_id")?,
        batch_id: row.try_get("batch_id")?,
        retry_of: row.try_get("retry_of")?,
        traceparent: row.try_get("traceparent")?,
        workflow_id: row.try_get("workflow_id")?,
        node_key: row.try_get("node_key")?,
    })
}
