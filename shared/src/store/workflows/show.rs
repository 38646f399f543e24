//! Reading a workflow: its document, and its nodes by page.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::{OwnerId, State, TaskId},
    workflow::{Kind, WorkflowState},
};

/// What [`read`] reads.
pub(super) const COLUMNS: &str =
    "id, kind::text, state::text, return_exceptions, max_in_flight, nodes, open, succeeded, failed,
    cancelled, expired, created_at, finished_at, cancel_requested_at";

/// A node's state is its task's.
const NODES: &str = "
    SELECT n.node, n.key, n.task_id, t.state::text, t.error_code, t.finished_at
    FROM workflow_node n LEFT JOIN task_run t ON t.id = n.task_id
    WHERE n.workflow_id = $1 AND n.node >= $2 ORDER BY n.node LIMIT $3";

/// A workflow. Every field is always there; what is not known is null.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Workflow)]
pub struct WorkflowView {
    /// UUID version 7.
    pub id: Uuid,
    /// What it was asked for as.
    pub kind: Kind,
    /// Where it stands.
    pub state: WorkflowState,
    /// Failures stand in the results, as objects with `error`.
    pub return_exceptions: bool,
    /// Nodes at work at once, at most.
    pub max_in_flight: Option<i32>,
    /// How many of its nodes stand where.
    pub counts: Counts,
    /// Accepted.
    pub created_at: Timestamp,
    /// Terminal since.
    pub finished_at: Option<Timestamp>,
    /// Cancellation was asked for.
    pub cancel_requested_at: Option<Timestamp>,
}

/// How many nodes stand where.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkflowCounts)]
pub struct Counts {
    /// All of them.
    pub total: i32,
    /// Not ended.
    pub open: i32,
    /// Ended with a result.
    pub succeeded: i32,
    /// Ended without.
    pub failed: i32,
    /// Cancelled, by somebody or because it was not to run.
    pub cancelled: i32,
    /// Not started in time.
    pub expired: i32,
}

/// A node as a list shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WorkflowNode)]
pub struct NodeView {
    /// Its place in the order given.
    pub index: i32,
    /// Its key.
    pub key: String,
    /// Its task; the last one, where it was retried.
    pub task_id: TaskId,
    /// Where that stands; null once it was removed.
    pub state: Option<State>,
    /// Why it failed, if it has.
    pub error_code: Option<String>,
    /// Terminal since.
    pub finished_at: Option<Timestamp>,
}

impl Store {
    /// A workflow of this owner; another's does not exist.
    pub async fn show_workflow(&self, owner: OwnerId, id: Uuid) -> Result<Option<WorkflowView>, StoreError> {
        let db = self.connection().await?;
        view(&*db, owner, id).await
    }

    /// Up to `limit` nodes of a workflow that is known to be the owner's, from this place on.
    pub async fn show_nodes(&self, id: Uuid, from: i32, limit: i64) -> Result<Vec<NodeView>, StoreError> {
        let db = self.connection().await?;
        let nodes = db.prepare_cached(NODES).await?;
        db.query(&nodes, &[&id, &from, &limit]).await?.iter().map(read_node).collect()
    }
}

pub(super) async fn view(
    db: &impl deadpool_postgres::GenericClient,
    owner: OwnerId,
    id: Uuid,
) -> Result<Option<WorkflowView>, StoreError> {
    let show = format!("SELECT {COLUMNS} FROM workflow WHERE id = $1 AND (owner_id = $2) IS TRUE");
    db.query_opt(&show, &[&id, &owner.0]).await?.as_ref().map(read).transpose()
}

pub(super) fn read(row: &Row) -> Result<WorkflowView, StoreError> {
    let bad = || StoreError::Data("a workflow's kind or state".into());
    Ok(WorkflowView {
        id: row.try_get("id")?,
        kind: Kind::named(row.try_get("kind")?).ok_or_else(bad)?,
        state: WorkflowState::named(row.try_get("state")?).ok_or_else(bad)?,
        return_exceptions: row.try_get("return_exceptions")?,
        max_in_flight: row.try_get("max_in_flight")?,
        counts: Counts {
            total: row.try_get("nodes")?,
            open: row.try_get("open")?,
            succeeded: row.try_get("succeeded")?,
            failed: row.try_get("failed")?,
            cancelled: row.try_get("cancelled")?,
            expired: row.try_get("expired")?,
        },
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        cancel_requested_at: row.try_get("cancel_requested_at")?,
    })
}

fn read_node(row: &Row) -> Result<NodeView, StoreError> {
    let state: Option<&str> = row.try_get("state")?;
    let error_code: Option<String> = row.try_get("error_code")?;
    Ok(NodeView {
        index: row.try_get("node")?,
        key: row.try_get("key")?,
        task_id: TaskId(row.try_get("task_id")?),
        state: state.map(str::parse).transpose().map_err(|_| StoreError::Data("a node's state".into()))?,
        error_code: error_code.filter(|code| !code.is_empty()),
        finished_at: row.try_get("finished_at")?,
    })
}
